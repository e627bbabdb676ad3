"""`store`: what an operator does with the store of a stopped agent."""

import json
import sqlite3

import pytest
import trio

from paddington import Peer
from templemeads.jobs.outcome import Write
from templemeads.stores.sqlite import open_sqlite_store
from tests.cli.invoking import call
from tests.templemeads.values import COMMANDS, NOW, job

PEER, OTHER = Peer("portal"), Peer("other", "internal")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "cluster.toml"
    call("-c", path, "init", "cluster", "--type", "instance")
    return path


async def fill(path):
    async with open_sqlite_store("cluster", path=path) as store:
        store.write([Write(PEER, job(1)), Write(PEER, job(2, COMMANDS[1]).pending(now=NOW))])
        store.write([Write(OTHER, job(3), deleted=True)])
        await store.count_start(PEER, job(2).id)


@pytest.fixture
def store(config):
    path = config.with_suffix(".db")
    trio.run(fill, path)
    return path


def damage(store):
    with sqlite3.connect(store) as connection:
        connection.execute(
            "UPDATE jobs SET job = replace(job, 'fred', 'frew') WHERE id = ?", (job(1).id.bytes,)
        )
    connection.close()


def ids(config):
    return {row["id"] for row in json.loads(call("-c", config, "store", "list", "--json"))}


def test_list_shows_jobs_deleted_jobs_starts_and_damage(config, store):
    damage(store)
    lines = call("-c", config, "store", "list").splitlines()
    assert lines[0].split() == ["ID", "PEER", "STATE", "STARTS", "COMMAND"]
    rows = {line.split()[0]: line.split()[1:4] for line in lines[1:]}
    assert rows == {
        str(job(1).id): ["portal@default", "damaged", "0"],
        str(job(2).id): ["portal@default", "Pending", "1"],
        str(job(3).id): ["other@internal", "deleted", "0"],
    }


def test_drop_removes_a_job_even_a_damaged_one(config, store):
    damage(store)
    assert "on the board of portal@default" in call("-c", config, "store", "drop", job(1).id)
    assert ids(config) == {str(job(2).id), str(job(3).id)}
    assert "no job" in call("-c", config, "store", "drop", job(1).id, status=1)
    assert "write more of the id" in call("-c", config, "store", "drop", "0000", status=1)
    assert "no job" in call("-c", config, "store", "drop", job(2).id, "--peer", "nobody@default", status=1)
    call("-c", config, "store", "drop", job(2).id, "--peer", "portal@default")
    assert ids(config) == {str(job(3).id)}


def test_export_writes_a_line_for_each_job_to_a_private_file(config, store, tmp_path):
    shown = [json.loads(line) for line in call("-c", config, "store", "export").splitlines()]
    output = tmp_path / "jobs.jsonl"
    call("-c", config, "store", "export", "--output", output)
    assert [json.loads(line) for line in output.read_text().splitlines()] == shown
    assert output.stat().st_mode & 0o077 == 0
    assert {row["job"]["id"] for row in shown} == {str(job(number).id) for number in (1, 2, 3)}


def test_copy_moves_a_store_once(config, store, tmp_path):
    target = f"sqlite:///{tmp_path / 'new.db'}"
    before = call("-c", config, "store", "list")
    assert "Copied 3 jobs" in call("-c", config, "store", "copy", f"sqlite:///{store}", target)
    assert call("-c", config, "store", "list", "--store", target) == before
    assert "holds jobs already" in call("-c", config, "store", "copy", f"sqlite:///{store}", target, status=1)
    damage(store)
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    assert "Nothing was copied" in call("-c", config, "store", "copy", f"sqlite:///{store}", empty, status=1)


def test_a_store_that_is_in_use_or_not_there_is_an_error_in_one_line(config, store, tmp_path):
    async def while_it_runs() -> str:
        async with open_sqlite_store("cluster", path=store):
            return call("-c", config, "store", "list", status=1)

    assert "in use by another process" in trio.run(while_it_runs)
    missing = tmp_path / "missing.db"
    assert "There is no store" in call(
        "-c", config, "store", "list", "--store", f"sqlite:///{missing}", status=1
    )
    assert not missing.exists()
    assert "in memory" in call("-c", config, "store", "list", "--store", "memory:", status=1)
    assert "is no store" in call("-c", config, "store", "list", "--store", "mysql://x", status=1)
