"""A pretend agent and pretend programs for the tests of the ready-made agents, and the traces recorded of existing ones."""

from __future__ import annotations

import json
import time
from pathlib import Path

import attrs
import trio

from paddington import ServiceConfig
from templemeads.agent.envelope import Envelope
from templemeads.agent_type import AgentType
from templemeads.config import AgentConfig
from templemeads.errors import JobError
from templemeads.grammar.results import decode_result
from templemeads.jobs.job import Job
from templemeads.roles.programs import Ran

_TRACES = Path(__file__).parents[2] / "data" / "role_traces.json"


def traces(role):
    """The traces of a role, in the order in which they were recorded."""
    return json.loads(_TRACES.read_text())["roles"][role]


def make_config(name="agent", agent_type=AgentType.ACCOUNT, tables=None, **extras):
    service = ServiceConfig.create(name, url="ws://localhost:8000", ip="127.0.0.1", port=8000)
    config = AgentConfig(service, agent_type, extras={k.replace("_", "-"): v for k, v in extras.items()})
    if tables is not None:
        config.tables = tables
    return config


@attrs.define(eq=False)
class FakeAgent:
    """Answers questions from a list, or by a function of the command; records what was asked."""

    config: AgentConfig
    answers: object = ()
    asked: list = attrs.field(factory=list)
    notified: list = attrs.field(factory=list)

    @property
    def name(self):
        return self.config.name

    def now(self):
        return time.time()

    async def ask(self, command, *, zone=None, lifetime=None):
        await trio.lowlevel.checkpoint()
        self.asked.append((command, zone, lifetime))
        answer = self.answers(command) if callable(self.answers) else self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def answer_of(recorded):
    """The answer of a trace, as `Agent.ask` gives it: a value, or an error to be raised."""
    if "error" in recorded:
        return JobError(recorded["error"], kind=recorded.get("kind", "unknown"), origin="elsewhere")
    return decode_result(recorded["result"], recorded["result_type"])


def envelope_for(instruction, agent, *, sender="cluster", zone="default"):
    """An envelope with a job that has arrived."""
    recipient = agent.config.name
    job = Job.parse(f"{sender}.{recipient} {instruction}").pending()
    return Envelope(job=job, sender=sender, recipient=recipient, zone=zone, agent=agent)


async def run_job(handlers, instruction, agent, **where):
    """Run a handler as the runner does: an error becomes the job's."""
    envelope = envelope_for(instruction, agent, **where)
    try:
        return await handlers(envelope)
    except JobError as error:
        return envelope.job.errored(str(error), kind=error.kind)


@attrs.define(eq=False)
class FakePrograms:
    """Programs in a pretend world: `world` returns the status and the output for a list of words.

    `failing` says which commands fail, and how, whatever the world thinks.
    """

    world: object
    failing: dict = attrs.field(factory=dict)
    ran: list = attrs.field(factory=list)

    async def run(self, words, *, timeout=60.0, text=""):
        await trio.lowlevel.checkpoint()
        line = " ".join(words)
        if line in self.failing:
            status, output, errors = self.failing[line], "", "(its stderr)"
        else:
            status, output = self.world(list(words))
            errors = ""
        self.ran.append(line + (f"  -> {status}" if status else ""))
        return Ran(tuple(words), status, output, errors)


def failures(commands):
    """The commands of a trace that failed, with their exit statuses."""
    return {line: int(status) for line, _, status in (each.partition("  -> ") for each in commands) if status}
