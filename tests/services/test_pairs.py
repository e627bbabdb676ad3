"""Pairs of real processes over a real PostgreSQL server: the leader is killed, suspended and woken in the middle of jobs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from functools import partial

import attrs
import psycopg
import pytest
import trio

from paddington import Limits as ConnectionLimits
from paddington import ServiceConfig
from templemeads import AgentConfig, AgentType, Limits
from tests.processes.estate import PATIENCE, ROOT, Estate

FIRST, SECOND = "127.0.0.1", "127.0.0.2"
JOBS = 200
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
)


class PairEstate(Estate):
    """A row of agents of which one is a pair: the process of its name, and another one called ``NAME-2``."""

    def __init__(self, nursery, directory, names, pair, database):
        super().__init__(nursery, directory, names, Limits(shutdown_seconds=10, flush_seconds=2))
        self.pair, self.database = pair, database
        for name in names:
            path = directory / f"{name}.toml"
            config = AgentConfig.load(path)
            # A peer sees that a suspended process is silent, and not before the watchdog says so.
            config.service.limits = ConnectionLimits(
                dial_longest_seconds=0.2, keepalive_seconds=0.3, watchdog_seconds=1.5
            )
            config.service.clients = tuple(
                attrs.evolve(client, ip="127.0.0.0/8") for client in config.service.clients
            )
            config.service.servers = tuple(
                attrs.evolve(server, urls=[server.url.replace(FIRST, SECOND)])
                if server.name == pair
                else server
                for server in config.service.servers
            )
            if name == pair:
                config.pair, config.store = True, database
                config.save(path)
                config.service.ip = SECOND
                config.save(directory / f"{name}-2.toml")
            else:
                config.save(path)

    async def launch(self, name):
        """Start a process that may have to wait for its turn; return what is set when its agent is up."""
        command = [
            sys.executable,
            "-m",
            "tests.processes.child",
            f"{self.directory}/{name}.toml",
            f"{self.directory}/ledger",
        ]
        with (self.directory / f"{name}.log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self.processes[name] = process
        up = trio.Event()
        self.nursery.start_soon(self._listen, name, process, up)
        return up

    def log(self, name):
        return (self.directory / f"{name}.log").read_text()

    async def wait_waiting(self):
        """Wait until both processes have a session at the server: one leads, the other waits."""
        await trio.to_thread.run_sync(self._wait_for_sessions)

    def _wait_for_sessions(self):
        deadline = time.monotonic() + PATIENCE
        with psycopg.connect(self.database, autocommit=True) as connection:
            while connection.execute(SESSIONS, (f"templemeads {self.pair}",)).fetchone() != (2,):
                assert time.monotonic() < deadline, "the second process does not wait"
                time.sleep(0.05)


@asynccontextmanager
async def open_pair(directory, names, pair, database):
    async with trio.open_nursery() as nursery:
        estate = PairEstate(nursery, directory, names, pair, database)
        try:
            await estate.start_all()
            up = await estate.launch(f"{pair}-2")
            await estate.wait_waiting()
            yield estate, up
        finally:
            for process in estate.processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
            with trio.CancelScope(shield=True):
                for process in estate.processes.values():
                    await process.wait()
            nursery.cancel_scope.cancel()


async def seconds_until(event):
    began = time.monotonic()
    with trio.fail_after(PATIENCE):
        await event.wait()
    return time.monotonic() - began


ROWS = [(("portal", "brics", "shared"), "brics"), (("portal", "cluster"), "cluster")]


@pytest.mark.parametrize(("names", "pair"), ROWS, ids=["in the middle", "at the end"])
async def test_when_the_leader_is_killed_the_other_takes_over_within_two_seconds(
    tmp_path, database, names, pair
):
    async with open_pair(tmp_path, names, pair, database) as (estate, up):
        for number in range(JOBS):
            await estate.put(number % 40)
        await estate.wait_until(lambda: sum(bool(each.told) for each in estate.entries.values()) > 20)
        await estate.kill(pair)
        took = await seconds_until(up)
        assert took < 2, took
        for _ in range(20):
            await estate.put(1)
        # The one that was killed comes back and waits; then it takes over in its turn.
        back = await estate.launch(pair)
        await estate.wait_waiting()
        await estate.kill(f"{pair}-2")
        assert await seconds_until(back) < 2
        await estate.wait_all_told()
        print(took, estate.account())


@pytest.mark.parametrize(("names", "pair"), ROWS, ids=["in the middle", "at the end"])
async def test_a_leader_that_was_suspended_is_replaced_and_can_write_nothing_when_it_wakes(
    tmp_path, database, names, pair
):
    async with open_pair(tmp_path, names, pair, database) as (estate, up):
        for number in range(JOBS):
            await estate.put(number % 40)
        await estate.wait_until(lambda: sum(bool(each.told) for each in estate.entries.values()) > 20)
        estate.processes[pair].send_signal(signal.SIGSTOP)
        took = await seconds_until(up)
        assert took < 2.5, took  # a lease and a look; the machine may be busy
        for _ in range(20):
            await estate.put(1)
        estate.processes[pair].send_signal(signal.SIGCONT)
        with trio.fail_after(PATIENCE):
            assert await estate.processes[pair].wait() != 0
        assert "has taken over and leads now" in estate.log(pair)
        await estate.wait_all_told()
        print(took)
        if pair == names[-1]:
            # A handler of the old leader may have gone on for a moment when it woke; its answer counts for nobody.
            for entry in estate.entries.values():
                assert len(set(entry.told)) == 1
                assert entry.told[0][0] == "Complete"
        else:
            estate.account()


async def test_a_leader_that_stops_in_order_hands_over_at_once(tmp_path, database):
    async with open_pair(tmp_path, ("portal", "cluster"), "cluster", database) as (estate, up):
        for _ in range(50):
            await estate.put(1)
        assert await estate.terminate("cluster") == 0
        assert await seconds_until(up) < 1
        await estate.wait_all_told()
        estate.account()


async def test_the_leader_goes_on_when_the_database_restarts(tmp_path, database, postgresql_server):
    async with open_pair(tmp_path, ("portal", "cluster"), "cluster", database) as (estate, up):
        await estate.put(1)
        await estate.wait_all_told()
        await trio.to_thread.run_sync(postgresql_server.kill)
        await estate.put(1)
        await trio.to_thread.run_sync(postgresql_server.start)
        await estate.wait_all_told()
        # Either may lead now, and exactly one does.
        assert up.is_set() == (estate.processes["cluster"].poll() is not None)


async def test_the_command_line_says_who_leads_and_a_waiting_process_stops_when_asked(tmp_path, database):
    def command(number, *words):
        return [sys.executable, "-m", "cli", "-c", str(tmp_path / f"{number}.toml"), *words]

    async def status(number, words):
        with trio.fail_after(PATIENCE):
            while True:
                found = await trio.run_process(
                    command(number, "status"), cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False
                )
                if words in found.stdout:
                    return
                await trio.sleep(0.1)

    async def start(nursery, number):
        with (tmp_path / f"{number}.log").open("ab") as log:
            run = partial(trio.run_process, command(number, "run"), cwd=ROOT, stderr=log, check=False)
            return await nursery.start(run)

    for number, address in enumerate((FIRST, SECOND)):
        service = ServiceConfig.create("brics", url="ws://127.0.0.1:0", ip=address, port=0)
        service.add_client("shared", FIRST)
        AgentConfig(service, AgentType.PROVIDER, store=database, pair=True).save(tmp_path / f"{number}.toml")
    async with trio.open_nursery() as nursery:
        leader = await start(nursery, 0)
        await status(0, f":{leader.pid} leads: this process, number 1 to do so".encode())
        waiting = await start(nursery, 1)
        await status(1, f":{leader.pid} leads".encode())
        waiting.terminate()
        assert await waiting.wait() == 0
        waiting = await start(nursery, 1)
        await status(1, b"waits to take over")
        leader.terminate()
        assert await leader.wait() == 0
        await status(1, f":{waiting.pid} leads: this process, number 2 to do so".encode())
        waiting.terminate()
        assert await waiting.wait() == 0
    assert "internal error" not in (tmp_path / "1.log").read_text()
