"""One contract for every store; each test here runs over all of them that outlive their process, or over all."""

import sqlite3
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import Peer
from templemeads import StoreError
from templemeads.jobs.outcome import Erase, Write
from templemeads.stores.rows import checksum
from templemeads.stores.sqlite import _MIGRATIONS, APPLICATION_ID, SCHEMA_VERSION, open_sqlite_store
from tests.templemeads.stores.contract import StoreContract
from tests.templemeads.values import COMMANDS, NOW, copies, job

PEER, OTHER = Peer("portal"), Peer("portal", "internal")


class TestSqlite(StoreContract):
    @pytest.fixture
    def open_durable(self, tmp_path):
        return partial(open_sqlite_store, path=tmp_path / "boards.db")


@pytest.fixture
def open_sqlite(tmp_path):
    return partial(open_sqlite_store, path=tmp_path / "boards.db")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
async def test_a_store_of_every_earlier_version_is_taken_over_with_all_it_holds(
    tmp_path, open_sqlite, version
):
    connection = sqlite3.connect(tmp_path / "boards.db")
    connection.executescript("".join(_MIGRATIONS[:version]))
    connection.execute("INSERT INTO agent (name) VALUES ('cluster')")
    rows = [
        ("portal", "default", job(1).id.bytes, 0, job(1).canonical()),
        ("portal", "internal", job(1).id.bytes, 1, job(1).completed("x", now=NOW).canonical()),
    ]
    connection.executemany("INSERT INTO jobs (peer, zone, id, deleted, job) VALUES (?, ?, ?, ?, ?)", rows)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    async with open_sqlite("cluster") as store:
        assert sorted(await store.load(), key=lambda write: write.peer) == [
            Write(PEER, job(1)),
            Write(OTHER, job(1).completed("x", now=NOW), deleted=True),
        ]
        await store.wait_committed(
            store.write([Write(PEER, job(1).running("half", now=NOW)), Erase(OTHER, job(1).id)])
        )
    async with open_sqlite("cluster") as store:
        assert list(await store.load()) == [Write(PEER, job(1).running("half", now=NOW))]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([PEER, OTHER]), st.booleans(), copies()), max_size=4), max_size=6
    )
)
def test_the_store_holds_the_last_of_what_was_written(tmp_path_factory, units):
    path = tmp_path_factory.mktemp("store") / "boards.db"
    model = {}

    async def write() -> None:
        async with open_sqlite_store("cluster", path=path) as store:
            for unit in units:
                changes = []
                for peer, erase, one in unit:
                    changes.append(Erase(peer, one.id) if erase else Write(peer, one))
                    if erase:
                        model.pop((peer, one.id), None)
                    else:
                        model[peer, one.id] = changes[-1]
                await store.wait_committed(store.write(changes))

    async def read() -> None:
        async with open_sqlite_store("cluster", path=path) as store:
            assert {(write.peer, write.job.id): write for write in await store.load()} == model

    trio.run(write)
    trio.run(read)


async def test_the_store_of_another_agent_is_refused(open_sqlite):
    async with open_sqlite("cluster"):
        pass
    with pytest.raises(StoreError, match="belongs to the agent 'cluster'"):
        async with open_sqlite("portal"):
            pytest.fail("the store of another agent was opened")


async def test_a_foreign_newer_or_damaged_file_is_refused_with_the_reason(tmp_path):
    foreign, newer, damaged = (tmp_path / name for name in ("foreign", "newer", "damaged"))
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE something (x)")
    connection.close()
    async with open_sqlite_store("cluster", path=newer):
        pass
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    damaged.write_bytes(b"this is no database at all, but long enough to look at" * 100)
    for path, reason in (
        (foreign, "not the store of an agent"),
        (newer, "newer software"),
        (damaged, "not a database"),
    ):
        with pytest.raises(StoreError, match=reason):
            async with open_sqlite_store("cluster", path=path):
                pytest.fail("it was opened")


async def test_a_job_that_cannot_be_read_back_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "boards.db"
    async with open_sqlite_store("cluster", path=path) as store:
        await store.wait_committed(store.write([Write(PEER, job(1))]))
    with sqlite3.connect(path) as connection:
        connection.create_function("row_checksum", 5, checksum)
        connection.execute(
            "UPDATE jobs SET job = '{}', checksum = "
            "row_checksum(CAST(peer AS BLOB), CAST(zone AS BLOB), id, deleted, CAST('{}' AS BLOB))"
        )
    connection.close()
    async with open_sqlite_store("cluster", path=path) as store:
        with pytest.raises(StoreError, match="Restore the file from a backup"):
            await store.load()


async def test_files_are_for_their_owner_only(open_sqlite, tmp_path):
    async with open_sqlite("cluster") as store:
        await store.wait_committed(store.write([Write(PEER, job(1))]))
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


async def test_a_store_that_fails_takes_no_more_and_loses_nothing_that_it_confirmed(tmp_path):
    path = tmp_path / "boards.db"
    with pytest.RaisesGroup(StoreError):
        async with open_sqlite_store("cluster", path=path) as store:
            await store.wait_committed(store.write([Write(PEER, job(1))]))
            store._engine._connection.execute("PRAGMA query_only = ON")
            ticket = store.write([Write(PEER, job(2, COMMANDS[1]))])
            with pytest.raises(StoreError, match="Nothing that was confirmed is lost"):
                await store.wait_committed(ticket)
            with pytest.raises(StoreError, match="cannot commit jobs"):
                store.write([Write(PEER, job(3))])
            await trio.sleep_forever()
    async with open_sqlite_store("cluster", path=path) as store:
        assert list(await store.load()) == [Write(PEER, job(1))]
