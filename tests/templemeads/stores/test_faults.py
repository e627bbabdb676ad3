"""What happens to an SQLite store is noticed before anything is confirmed, and the error says what to do."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random

import attrs
import pytest
import trio

from paddington import Peer
from templemeads import StoreError
from templemeads.jobs.outcome import Write
from templemeads.stores.opening import open_store
from templemeads.stores.sqlite import open_sqlite_store
from templemeads.stores.store import BoardStore
from tests.templemeads.values import NOW, job

PEER = Peer("portal")
JOBS = [Write(PEER, attrs.evolve(job(number), created=NOW + number)) for number in range(1, 30)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "boards.db"


def take_away(file: Path, fault: str) -> None:
    match fault:
        case "removed":
            file.unlink()
        case "renamed":
            file.rename(f"{file}.old")
        case _:
            shutil.copy(file, f"{file}.new")
            os.replace(f"{file}.new", file)


async def problem(store: BoardStore) -> str:
    while (found := store.statistics().problem) is None:
        await trio.lowlevel.checkpoint()
    return found


async def filled(path: Path) -> None:
    async with open_sqlite_store("cluster", path=path) as store:
        for write in JOBS:
            await store.wait_committed(store.write([write]))


async def test_a_commit_waits_while_another_program_holds_the_file_locked(path):
    async with open_sqlite_store("cluster", path=path, patience=30) as store:
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        ticket = store.write([JOBS[0]])
        assert "locked" in await problem(store)
        assert not store.is_committed(ticket)
        shell.execute("ROLLBACK")
        shell.close()
        await store.wait_committed(ticket)
        assert store.statistics().problem is None
    async with open_sqlite_store("cluster", path=path) as store:
        assert list(await store.load()) == [JOBS[0]]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["commit", "open"])
async def test_when_patience_is_over_the_error_names_the_process_that_holds_the_file(path, moment):
    await filled(path)
    code = (
        "import sqlite3, sys; shell = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "shell.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, path]

    def hold() -> subprocess.Popen[bytes]:
        other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        return other

    def release(other: subprocess.Popen[bytes]) -> None:
        with other:
            other.stdin.close()

    if moment == "open":
        other = hold()
        with pytest.raises(StoreError, match=f"process {other.pid}, 'python|process {other.pid}"):
            async with open_sqlite_store("cluster", path=path, patience=0.01):
                pytest.fail("it was opened")
    else:
        with pytest.RaisesGroup(pytest.RaisesExc(StoreError, match="holds it locked")):
            async with open_sqlite_store("cluster", path=path, patience=0.01) as store:
                other = hold()
                with pytest.raises(StoreError, match=f"process {other.pid}"):
                    await store.wait_committed(store.write([JOBS[0]]))
                await trio.sleep_forever()
    release(other)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("fault", ["removed", "renamed", "replaced"])
async def test_a_file_that_is_removed_renamed_or_replaced_while_running_is_noticed_before_a_job_is_confirmed(
    path, suffix, fault
):
    file = Path(f"{path}{suffix}")
    with pytest.RaisesGroup(StoreError):
        async with open_sqlite_store("cluster", path=path) as store:
            await store.wait_committed(store.write([JOBS[0]]))
            take_away(file, fault)
            ticket = store.write([JOBS[1]])
            with pytest.raises(StoreError, match=f"{file} was (removed or renamed|replaced)"):
                await store.wait_committed(ticket)
            assert not store.is_committed(ticket)
            await trio.sleep_forever()


async def test_a_directory_that_is_moved_away_is_noticed(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.RaisesGroup(StoreError):
        async with open_sqlite_store("cluster", path=tmp_path / "a/boards.db") as store:
            (tmp_path / "a").rename(tmp_path / "b")
            with pytest.raises(StoreError, match="removed or renamed"):
                await store.wait_committed(store.write([JOBS[0]]))
            await trio.sleep_forever()


@pytest.mark.parametrize(
    "damage",
    [
        "job = 'no JSON'",
        "job = '{}'",
        "job = 'null'",
        "job = CAST(x'ff' AS TEXT)",
        "job = replace(job, 'fred', 'frew')",
        "peer = 'portam'",
        "deleted = 1",
        "id = x'00'",
        "checksum = checksum + 1",
    ],
)
async def test_a_damaged_row_is_refused_with_advice_and_never_becomes_a_job(path, damage):
    await filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE jobs SET {damage} WHERE rowid = 7")
    connection.close()
    async with open_sqlite_store("cluster", path=path) as store:
        with pytest.raises(StoreError, match=r"cannot be read, .*Restore the file from a backup.*store drop"):
            await store.load()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_no_flipped_bit_goes_unnoticed(tmp_path, suffix):
    path, random = tmp_path / "boards.db", Random(4)
    copies = tmp_path / "copies"

    async def fill() -> None:
        async with open_sqlite_store("cluster", path=path) as store:
            for write in JOBS:
                await store.wait_committed(store.write([write]))
            if suffix:  # as after kill -9: most of it is in the log
                shutil.copytree(tmp_path, copies)

    async def read() -> list[Write]:
        async with open_sqlite_store("cluster", path=copies / "boards.db") as store:
            return list(await store.load())

    trio.run(fill)
    if not suffix:
        shutil.copytree(tmp_path, copies)
    names = [f"boards.db{end}" for end in ("", "-wal", ".lock") if (copies / f"boards.db{end}").exists()]
    whole = {name: (copies / name).read_bytes() for name in names}
    damaged = f"boards.db{suffix}"
    for _ in range(150):
        for leftover in copies.iterdir():
            leftover.unlink()
        for name, data in whole.items():
            (copies / name).write_bytes(data)
        data = bytearray(whole[damaged])
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        (copies / damaged).write_bytes(data)
        try:
            found = trio.run(read)
        except StoreError:
            continue
        except BaseExceptionGroup as group:
            assert group.subgroup(StoreError) is not None
            continue
        assert found == JOBS


@pytest.mark.parametrize("fault", ["removed", "emptied", "cut"])
async def test_a_write_ahead_log_that_is_lost_after_a_crash_is_noticed(tmp_path, path, fault):
    copies = tmp_path / "copies"
    async with open_sqlite_store("cluster", path=path) as store:
        for write in JOBS:
            await store.wait_committed(store.write([write]))
        shutil.copytree(tmp_path, copies)  # as after kill -9
    log = copies / "boards.db-wal"
    match fault:
        case "removed":
            log.unlink()
        case "emptied":
            log.write_bytes(b"")
        case _:
            log.write_bytes(log.read_bytes()[:-5000])
    with pytest.raises(StoreError, match=r"lacks the last \d+ of 29 commits.*to go on without"):
        async with open_sqlite_store("cluster", path=copies / "boards.db"):
            pytest.fail("it was opened")
    (copies / "boards.db.lock").unlink()
    async with open_sqlite_store("cluster", path=copies / "boards.db") as store:
        assert len(await store.load()) < len(JOBS)


@pytest.mark.parametrize("way", ["the same name", "symbolic link", "without the lock file", "both"])
async def test_a_second_agent_is_refused_whatever_it_calls_the_file(path, way):
    second = path
    async with open_sqlite_store("cluster", path=path):
        if way in {"symbolic link", "both"}:
            second = path.with_name("other.db")
            second.symlink_to(path)
        if way in {"without the lock file", "both"}:
            os.unlink(f"{path}.lock")
        with pytest.raises(StoreError, match="in use by another process"):
            async with open_sqlite_store("cluster", path=second):
                pytest.fail("two agents have one store open")


async def test_a_file_with_two_names_is_refused(path):
    await filled(path)
    os.link(path, path.with_name("other.db"))
    for name in ("boards.db", "other.db"):
        with pytest.raises(StoreError, match="2 names"):
            async with open_sqlite_store("cluster", path=path.with_name(name)):
                pytest.fail("it was opened")


async def test_a_full_disk_makes_answers_late_until_there_is_room(path):
    async with open_sqlite_store("cluster", path=path, patience=30) as store:
        connection = store._engine._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        ticket = store.write(JOBS)
        assert "full" in await problem(store)
        connection.execute("PRAGMA max_page_count = 1000000")
        await store.wait_committed(ticket)


async def test_a_place_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path / "nowhere" / "boards.db", "No such file or directory"),
        (tmp_path / "file" / "boards.db", "Not a directory"),
        (tmp_path, "directory"),
        (Path("/proc/boards.db"), "No such file|Permission|not permitted"),
    ):
        with pytest.raises(StoreError, match=reason):
            async with open_sqlite_store("cluster", path=path):
                pytest.fail("it was opened")


async def test_a_store_is_named_by_a_setting_or_a_path(path):
    for setting in (path, f"sqlite:///{path}"):
        async with open_store(setting)("cluster") as store:
            await store.wait_committed(store.write([JOBS[0]]))
            assert path.exists()
    for setting in (None, "memory:"):
        async with open_store(setting)("cluster") as store:
            assert await store.count_start(PEER, job(1).id) == 1
            assert await store.count_start(PEER, job(1).id) == 2
            store.write([Write(PEER, job(1), deleted=True)])
            assert await store.count_start(PEER, job(1).id) == 1
