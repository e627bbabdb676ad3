"""The bridge as its portal sees it: against the recorded traces of jobs that agents put to a bridge."""

from __future__ import annotations

import attrs
import pytest
import trio

from paddington import Peer
from templemeads.agent.envelope import Envelope
from templemeads.agent_type import AgentType
from templemeads.errors import JobError
from templemeads.jobs.job import Job, Status
from templemeads.roles.bridge.bridge import Bridge
from templemeads.roles.bridge.settings import BridgeSettings

from .fakes import traces

SENDERS = {"waldur": AgentType.PORTAL, "other": AgentType.PROVIDER}
FROM_AGENTS = [trace for trace in traces("bridge") if trace.get("asked_by") in SENDERS]

# Whatever is not offered waits on the board, which is the exchange's work; here is only seen that it is not offered.
WAITING = {"virtual/not-offered", "virtual/after-withdrawal"}
# The answer of the web portal is another thing's work.
BY_THE_WEB_BOARD = {"virtual/answer-is-pending"}


@attrs.frozen
class Sender:
    agent_type: AgentType


@attrs.define
class Site:
    """The bridge's agent, and a web portal that answers everything alike."""

    name: str = "bridge"
    offered: frozenset = frozenset()
    answer: str | None = "whatever"

    def offer(self, names):
        self.offered = frozenset(names)

    def add(self, kind, value):
        """The feed of events."""

    @property
    def agent(self):
        return self

    def now(self):
        return 2_000_000_000

    async def answer_of(self, job, report):
        await trio.testing.wait_all_tasks_blocked()
        return job.completed(self.answer) if self.answer else job.errored("ManagedProjectRejectedError: no")


async def test_recorded_traces_of_existing_bridges_come_out_the_same():
    site = Site()
    signalled = []

    async def get(url, seconds):
        signalled.append(url)
        return 200

    bridge = Bridge(BridgeSettings.create(port=0, signal_url="http://portal.example.org/signal"), get=get)
    bridge._calls = bridge._feed = site
    compared = 0
    for trace in FROM_AGENTS:
        name = trace["name"]
        job = Job.parse(trace["command"].replace(" today", " 2026-11-25")).pending()
        recipient = job.destination.agents[-1]
        compared += 1
        if name in WAITING:
            assert Peer(recipient, "default") not in site.offered, name
            continue
        if name in BY_THE_WEB_BOARD:
            continue
        site.answer = None if name == "virtual/errored" else "whatever"
        signalled.clear()
        envelope = Envelope(
            job=job,
            sender=trace["asked_by"],
            recipient=recipient,
            peer=Sender(SENDERS[trace["asked_by"]]),
            agent=site,
        )
        try:
            done = await bridge(envelope)
        except JobError as error:
            done = job.errored(str(error), kind=error.kind)
        outcome = trace["outcome"]
        if name == "from-other/virtual":
            assert done.status is Status.ERROR, "only portals may ask for a resource"
            continue
        assert done.status.value == outcome["state"], (name, done.result_text)
        assert done.result_type == outcome["result_type"], name
        assert len(signalled) == len(trace["signals"]), name
        if name.startswith("virtual-unknown/"):
            assert done.error.kind == "unsupported"
        else:
            assert done.result_text == outcome["result"], name
    assert compared == 33


@pytest.mark.parametrize("portals", [("waldur", "brics")])
async def test_offerings_of_several_portals_do_not_replace_each_other(portals):
    site = Site()
    bridge = Bridge(BridgeSettings.create(port=0))
    for zone, portal in enumerate(portals):
        job = Job.parse(f"{portal}.bridge sync_offerings res.{portal}.ukri").pending()
        envelope = Envelope(job=job, sender=portal, recipient="bridge", zone=f"zone{zone}",
                            peer=Sender(AgentType.PORTAL), agent=site)  # fmt: skip
        await bridge(envelope)
    assert site.offered == {Peer("res", "zone0"), Peer("res", "zone1")}
