"""One agent in a process of its own, told what to do on standard input.

    python -m tests.processes.child CONFIG LEDGER

On standard input come jobs as JSON, one a line, to be put; on standard output goes, one JSON object a line, what became
of them: `{"up": port}`, `{"accepted": id}`, `{"told": id, "state": …, "result": …}`, `{"refused": id, "reason": …}`.
Handlers write each call to the ledger, which outlives them: `{"begun": id, …}` and `{"ended": id, …}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import trio

from templemeads import (
    Agent,
    AgentConfig,
    AgentStoppedError,
    Envelope,
    Handler,
    Job,
    JobError,
    RefusedError,
    StateError,
    run_agent,
)


def say(**line: Any) -> None:
    os.write(1, (json.dumps(line) + "\n").encode())


def note(ledger: Path, **line: Any) -> None:
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(
            descriptor, (json.dumps(line | {"time": time.monotonic(), "pid": os.getpid()}) + "\n").encode()
        )
    finally:
        os.close(descriptor)


def handler_with(ledger: Path, name: str) -> Handler:
    """Make a handler that works as long as the user's name says: `w250` is 250 ms, `s…` shields, `x…` exits."""

    async def handle(envelope: Envelope) -> Job:
        job, user = envelope.job, envelope.job.instruction.user.username
        note(ledger, begun=str(job.id))
        if user.startswith("x"):
            os._exit(9)
        with trio.CancelScope(shield=user.startswith("s")):
            await trio.sleep(int(user[1:].split("n")[0]) / 1000)
        result = f"{name} {os.getpid()} {time.monotonic()}"
        note(ledger, ended=str(job.id), result=result)
        return job.completed(result)

    return handle


async def put(agent: Agent, text: str) -> None:
    job = Job.from_json(json.loads(text))
    try:
        kept = await job.put(agent.peer(job.destination.second))
        say(accepted=str(job.id))
        ended = await kept.wait()
    except (RefusedError, JobError, StateError) as error:
        say(refused=str(job.id), reason=str(error))
    except AgentStoppedError:
        return
    else:
        say(told=str(job.id), state=ended.status.value, result=ended.result_text)


async def take_orders(agent: Agent) -> None:
    async with trio.open_nursery() as nursery:
        buffer = b""
        async with trio.lowlevel.FdStream(os.dup(0)) as orders:
            async for data in orders:
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    nursery.start_soon(put, agent, line.decode())


async def main(path: str, ledger: Path) -> None:
    config = AgentConfig.load(path)
    async with trio.open_nursery() as nursery:
        agent: Agent = await nursery.start(
            run_agent_here, config, handler_with(ledger, config.name), nursery.cancel_scope
        )
        say(up=agent.port)
        nursery.start_soon(take_orders, agent)


async def run_agent_here(
    config: AgentConfig, handler: Handler, scope: trio.CancelScope, *, task_status: Any
) -> None:
    await run_agent(config, handler, task_status=task_status)
    scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]))
