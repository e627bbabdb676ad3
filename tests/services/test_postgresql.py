"""PostgreSQL stores over a real server: the contract of every store, and what happens when the server does not behave."""

from __future__ import annotations

import functools
import time
from contextlib import closing, suppress
from functools import partial

import attrs
import psycopg
import pytest
import trio

from paddington import Peer
from templemeads import StoreError
from templemeads.jobs.outcome import Write
from templemeads.stores.opening import connect, open_store
from templemeads.stores.postgresql import open_postgresql_store, shown
from templemeads.stores.tools import copy
from tests.templemeads.stores.contract import StoreContract
from tests.templemeads.values import NOW, job

PEER = Peer("portal")


def writes(first: int, last: int) -> list[Write]:
    return [Write(PEER, attrs.evolve(job(number), created=NOW + number)) for number in range(first, last)]


class TestPostgresql(StoreContract):
    @pytest.fixture
    def open_durable(self, database):
        return partial(open_postgresql_store, url=database, patience=2)


@pytest.fixture
def open_it(database):
    return functools.partial(open_postgresql_store, "cluster", url=database, patience=30)


async def problem(store) -> str:
    while (found := store.statistics().problem) is None:
        await trio.lowlevel.checkpoint()
    return found


def until_it_follows(standby, name):
    """Wait until the standby has the first commit."""
    while True:
        with suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable):
            if standby.execute("SELECT 1 FROM templemeads_agents WHERE commits = 1", name):
                return
        time.sleep(0.05)


def until_it_asks_for_passwords(url):
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if "password" in str(error):
                return
        time.sleep(0.05)


async def in_thread(function, *args):
    return await trio.to_thread.run_sync(function, *args)


async def test_a_store_is_named_by_a_url_and_agents_share_a_database(database):
    for agent in ("cluster", "portal"):
        async with open_store(database)(agent) as store:
            assert list(await store.load()) == []
            await store.wait_committed(store.write(writes(1, 3)))
    async with open_store(database)("cluster") as store:
        assert list(await store.load()) == writes(1, 3)


@pytest.mark.parametrize(
    ("wrong", "words"), [("user", "does not exist"), ("database", "does not exist"), ("password", "password")]
)
async def test_a_wrong_user_database_or_password_ends_the_start_at_once(
    postgresql_server, database, wrong, words
):
    url = database.replace("/test_", "/no_") if wrong == "database" else database
    if wrong == "user":
        url = database.replace("tester@", "nobody@")
    rules = postgresql_server.data / "pg_hba.conf"
    before = rules.read_text()
    try:
        if wrong == "password":
            await in_thread(postgresql_server.execute, "CREATE ROLE guest LOGIN PASSWORD 'right'")
            rules.write_text("local all guest scram-sha-256\n" + before)
            await in_thread(postgresql_server.execute, "SELECT pg_reload_conf()")
            url = database.replace("tester@", "guest:wrong@")
            await in_thread(until_it_asks_for_passwords, url)
        with trio.fail_after(5), pytest.raises(StoreError, match=words):
            async with open_postgresql_store("cluster", url=url, patience=60):
                pytest.fail("it was opened")
    finally:
        rules.write_text(before)
        await in_thread(postgresql_server.execute, "SELECT pg_reload_conf()")


async def test_a_store_of_newer_software_is_refused(postgresql_server, database, open_it):
    async with open_it():
        pass
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE templemeads_schema SET version = 99")
    with pytest.raises(StoreError, match="newer software"):
        async with open_it():
            pytest.fail("it was opened")


async def test_a_damaged_row_is_refused(database, open_it):
    async with open_it() as store:
        await store.wait_committed(store.write(writes(1, 3)))
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE templemeads_jobs SET job = replace(job, 'fred', 'frew')")
    async with open_it() as store:
        with pytest.raises(StoreError, match="checksum"):
            await store.load()


@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_nothing_confirmed_is_lost_when_the_server_is_killed_or_restarted(
    postgresql_server, open_it, way
):
    confirmed = 0
    async with open_it() as store:
        for restart in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(in_thread, getattr(postgresql_server, way))
                for number in range(100):
                    ticket = store.write(writes(restart * 100 + number + 1, restart * 100 + number + 2))
                    if number % 10 == 0:
                        with trio.move_on_after(0.2):
                            await store.wait_committed(ticket)
            await in_thread(postgresql_server.start)
            await store.wait_committed(ticket)
            confirmed += 100
        assert store.statistics().problem is None
    async with open_it() as store:
        assert list(await store.load()) == writes(1, confirmed + 1)


async def test_when_patience_is_over_the_store_fails_and_says_so(postgresql_server, database):
    with pytest.RaisesGroup(StoreError):
        async with open_postgresql_store("cluster", url=database, patience=1) as store:
            await store.wait_committed(store.write(writes(1, 2)))
            await in_thread(postgresql_server.kill)
            ticket = store.write(writes(2, 3))
            with pytest.raises(
                StoreError, match=r"cannot commit jobs.*tried for.*Nothing that was confirmed is lost"
            ):
                await store.wait_committed(ticket)
            assert not store.is_committed(ticket)
            await trio.sleep_forever()
    with pytest.raises(StoreError, match="cannot be opened"):
        async with open_postgresql_store("cluster", url=database, patience=0.1):
            pytest.fail("it was opened")
    await in_thread(postgresql_server.start)
    async with open_postgresql_store("cluster", url=database) as store:
        assert list(await store.load()) == writes(1, 2)


async def test_a_server_that_hangs_is_given_up_after_the_patience(postgresql_server, database):
    try:
        with trio.fail_after(30), pytest.RaisesGroup(StoreError):
            async with open_postgresql_store("cluster", url=database, patience=2) as store:
                await store.wait_committed(store.write(writes(1, 2)))
                postgresql_server.freeze()
                with pytest.raises(StoreError, match="tried for"):
                    await store.wait_committed(store.write(writes(2, 3)))
                await trio.sleep_forever()
    finally:
        postgresql_server.thaw()
    async with open_postgresql_store("cluster", url=database, patience=10) as store:
        assert writes(1, 2)[0] in await store.load()


async def test_a_connection_that_an_administrator_ends_is_made_again(postgresql_server, open_it):
    async with open_it() as store:
        for number in range(1, 6):
            await in_thread(
                postgresql_server.execute,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'templemeads cluster'",
            )
            await store.wait_committed(store.write(writes(number, number + 1)))
        assert store.statistics().problem is None
    async with open_it() as store:
        assert list(await store.load()) == writes(1, 6)


async def test_a_connection_that_is_cut_on_our_side_alone_does_not_keep_us_out(open_it):
    async with open_it() as store:
        await store.wait_committed(store.write(writes(1, 2)))
        for number in range(2, 5):
            store._engine.interrupt()
            await store.wait_committed(store.write(writes(number, number + 1)))


async def test_a_table_that_another_session_locks_makes_answers_late(postgresql_server, database, open_it):
    async with open_it() as store:
        other = await in_thread(psycopg.connect, database)
        await in_thread(other.execute, "LOCK TABLE templemeads_jobs")
        ticket = store.write(writes(1, 2))
        assert "lock timeout" in await problem(store)
        await in_thread(other.close)
        await store.wait_committed(ticket)


async def test_a_server_that_becomes_read_only_is_waited_for(postgresql_server, database, open_it):
    name = database.partition("?")[0].rpartition("/")[2]
    async with open_it() as store:
        store._engine._connection.execute("SET default_transaction_read_only = on")
        await in_thread(
            postgresql_server.execute, f"ALTER DATABASE {name} SET default_transaction_read_only = on"
        )
        ticket = store.write(writes(1, 2))
        assert "read-only" in await problem(store)
        await trio.sleep(0.2)
        assert not store.is_committed(ticket)
        await in_thread(
            postgresql_server.execute,
            f"SET default_transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only",
        )
        await store.wait_committed(ticket)


async def test_another_process_that_writes_under_our_name_stops_us(database, open_it):
    with pytest.RaisesGroup(StoreError):
        async with open_it() as store:
            await store.wait_committed(store.write(writes(1, 2)))
            with psycopg.connect(database) as connection:
                connection.execute("UPDATE templemeads_agents SET commits = commits + 1")
            with pytest.raises(StoreError, match="another process has written"):
                await store.wait_committed(store.write(writes(2, 3)))
            await trio.sleep_forever()
    async with open_it() as store:
        assert list(await store.load()) == writes(1, 2)


async def test_a_standby_takes_over_and_a_server_that_went_back_is_noticed(postgresql_server, database):
    await in_thread(postgresql_server.start)
    name = database.partition("?")[0].rpartition("/")[2]
    with postgresql_server.standby() as standby:
        url = f"postgresql://tester@/{name}?host={postgresql_server.home},{standby.home}"
        with pytest.RaisesGroup(StoreError):
            async with open_postgresql_store("cluster", url=url, patience=30) as store:
                await store.wait_committed(store.write(writes(1, 2)))
                await in_thread(until_it_follows, standby, name)
                await in_thread(postgresql_server.kill)
                await in_thread(standby.promote)
                await store.wait_committed(store.write(writes(2, 3)))
                # The next server has an older state, as a standby that lagged.
                await in_thread(
                    standby.execute,
                    "WITH gone AS (DELETE FROM templemeads_jobs) UPDATE templemeads_agents SET commits = 0",
                    name,
                )
                await in_thread(standby.kill)
                await in_thread(standby.start)
                with pytest.raises(StoreError, match="lost confirmed commits"):
                    await store.wait_committed(store.write(writes(3, 4)))
                await trio.sleep_forever()


async def test_a_store_is_copied_to_another_engine_and_back(database, tmp_path):
    setting, back = f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
    async with open_store(setting)("cluster") as store:
        store.write([*writes(1, 2500), attrs.evolve(writes(1, 2)[0], peer=Peer("other"), deleted=True)])
        assert [await store.count_start(PEER, job(1).id) for _ in range(2)] == [1, 2]
    for source, target in ((setting, database), (database, back)):
        with (
            closing(connect(source, "cluster", must_exist=True)) as old,
            closing(connect(target, "cluster")) as new,
        ):
            assert copy(old, new) == 2500
    async with open_store(setting)("cluster") as one, open_store(back)("cluster") as other:
        assert await one.load() == await other.load()
        assert await other.count_start(PEER, job(1).id) == 3


def test_a_store_without_this_agent_is_not_made_by_looking(database):
    with pytest.raises(StoreError, match="holds nothing of an agent 'cluster'"):
        connect(database, "cluster", must_exist=True)


def test_messages_hold_no_password():
    assert shown("postgresql://me:secret@host:5432/boards?password=secret") == "postgresql://host:5432/boards"
