"""The portal: against recorded traces, and where it is stricter or quicker than existing portals."""

from __future__ import annotations

import math

import attrs
import pytest
import trio

from paddington import Peer
from templemeads.agent.envelope import Envelope
from templemeads.agent_type import AgentType
from templemeads.errors import JobError, PeerNotFoundError
from templemeads.grammar import Destination, Destinations, Notification
from templemeads.grammar.notifications import Forward
from templemeads.grammar.results import decode_result
from templemeads.jobs.error_info import ErrorInfo
from templemeads.jobs.job import Job, Status
from templemeads.operations.notifications import NotificationEnvelope
from templemeads.roles.portal import Portal, submitted_result
from templemeads.roles.virtual import OfferingsFile, accepted, offerings_path, virtual_peers

from .fakes import make_config, traces

PEERS = {
    "bridge": (AgentType.BRIDGE, "default"),
    "brics": (AgentType.PROVIDER, "default"),
    "ukri": (AgentType.PORTAL, "ukri>waldur"),
    "self": (AgentType.PORTAL, "waldur>waldur"),
}


@attrs.define(eq=False)
class FakePeer:
    site: object
    name: str
    agent_type: AgentType
    zone: str

    is_ready: bool = True

    @property
    def peer(self):
        return Peer(self.name, self.zone)

    def now(self):
        return self.site.now()

    async def put_job(self, job):
        self.site.put.append(
            (self.name, self.zone, job.command, job.expires - job.created, job.forwarded_for)
        )
        return job.pending().kept_by(self)

    async def delete_job(self, job):
        self.site.deleted.append(job.command)

    async def wait_job(self, job):
        last = job
        async for state in self.job_updates(job):
            last = state
        return last

    async def job_updates(self, job):
        answer = self.site.answers.pop(0)
        for progress in answer.get("progress", ()):
            await trio.sleep(1)
            yield job.running(progress)
        await trio.sleep(answer.get("seconds", 0))
        if "error" in answer:
            info = ErrorInfo(answer["kind"], answer["error"], "far") if "kind" in answer else None
            yield attrs.evolve(
                job, status=Status.ERROR, result_text=answer["error"], result_type="Error", error=info
            )
        else:
            yield attrs.evolve(
                job, status=Status.COMPLETE, result_text=answer["result"], result_type=answer["result_type"]
            )


@attrs.define(eq=False)
class Site:
    """The portal waldur with pretend peers."""

    known: dict = attrs.field(init=False)
    answers: list = attrs.field(factory=list)
    put: list = attrs.field(factory=list)
    deleted: list = attrs.field(factory=list)
    offered: frozenset = frozenset()
    notified: list = attrs.field(factory=list)
    config: object = attrs.field(factory=lambda: make_config("waldur", AgentType.PORTAL))
    there: tuple = tuple(PEERS)

    def __attrs_post_init__(self):
        self.known = {name: FakePeer(self, name, *PEERS[name]) for name in self.there}

    @property
    def name(self):
        return self.config.name

    @property
    def operations(self):
        return self

    def now(self):
        return 1_800_000_000.0

    def offer(self, names):
        self.offered = frozenset(names)

    def get_all(self, wanted):
        return [peer for peer in self.select(wanted) if peer.is_ready]

    @property
    def peers(self):
        return self

    def select(self, wanted):
        return [peer for peer in self.known.values() if wanted in (peer.name, peer.agent_type)]

    def handle(self, peer):
        return next(each for each in self.known.values() if each.peer == peer)

    async def wait_for(self, wanted):
        await trio.lowlevel.checkpoint()
        if found := self.get_all(wanted):
            return found[0]
        if isinstance(wanted, str):
            raise PeerNotFoundError("not configured")
        return await trio.sleep(math.inf)

    async def wait_gone(self, wanted):
        await trio.sleep(math.inf)

    async def ask(self, command, *, zone=None, lifetime=None):
        name = command.split(" ", 1)[0].split(".")[1]
        self.put.append((name, zone, command, lifetime or 120, None))
        answer = self.answers.pop(0)
        if "error" in answer:
            raise JobError(answer["error"])
        return decode_result(answer["result"], answer["result_type"])

    def notify(self, text):
        self.notified.append(text)

    def send_notification(self, notification, peer):
        self.notified.append((str(notification), peer.name))


async def run(portal, site, command, asked_by, *, progress=None):
    peer = site.known.get(asked_by) or FakePeer(site, asked_by, *PEERS[asked_by])
    job = Job.parse(command, now=site.now()).pending()

    async def report(message):
        if progress is not None:
            progress.append((trio.current_time(), message))
        await trio.lowlevel.checkpoint()

    envelope = Envelope(job=job, sender=asked_by, recipient=job.destination.agents[-1], zone=peer.zone, peer=peer,
                        report=report, agent=site)  # fmt: skip
    try:
        return await portal(envelope)
    except JobError as error:
        return job.errored(str(error), kind=error.kind)


# Answers that differ on purpose: offerings that the bridge refuses are not made, and identifiers belong to who asks.
OWN_WAY = {
    "offerings/after-refusal": lambda job: job.result_text == '["res.waldur.ukri","res.waldur.waldur"]',
    "virtual/user-mapping-of-another-portal": lambda job: "concerns the portal" in job.result_text,
    "direct/get_projects": lambda job: job.status is Status.ERROR,
    "no-bridge/get_projects": lambda job: job.status is Status.ERROR,
}
# What existing agents do not do at once, or what the exchange does rather than the handler.
BY_THE_EXCHANGE = {"virtual/not-offered", "virtual/wrong-zone"}


async def test_recorded_traces_of_existing_portals_come_out_the_same(autojump_clock):
    site = Site()
    portal = Portal()
    compared = 0
    async with portal.open_lifespan(site):
        for trace in traces("portal"):
            name = trace["name"]
            if name in BY_THE_EXCHANGE:
                wanted = Peer(trace["command"].split(" ", 1)[0].split(".")[-1], PEERS[trace["asked_by"]][1])
                assert wanted not in site.offered, name
                compared += 1
                continue
            site.put.clear()
            site.notified.clear()
            site.answers[:] = [step["answer"] for step in trace["steps"]]
            if name.startswith("notify/"):
                notification = Notification.parse(trace["command"])
                envelope = NotificationEnvelope(
                    notification=notification, sender=trace["asked_by"], recipient="waldur", zone="default"
                )
                await portal.notified(envelope)
                assert site.notified == [(each["text"], each["at"]) for each in trace["notifications"]], name
                compared += 1
                continue
            command = (
                trace["command"]
                .replace(" today", " 2026-11-25")
                .replace(" this_month", " 2026-11-01:2026-11-30")
            )
            job = await run(portal, site, command, trace["asked_by"])
            compared += 1
            if name in OWN_WAY:
                assert OWN_WAY[name](job), (name, job.result_text)
                continue
            outcome = trace["outcome"]
            steps = [(step["to"], step["zone"], step["command"], step["lifetime"], step["forwarded_for"])
                     for step in trace["steps"]]  # fmt: skip
            assert [(*put[:4], put[4] and str(put[4])) for put in site.put] == steps, name
            assert job.status.value == outcome["state"], (name, job.result_text)
            assert job.result_type == outcome["result_type"], name
            assert site.notified == [each["text"] for each in trace["notifications"]], name
            is_refused = outcome["state"] == "Error" and "Invalid command" not in outcome["result"]
            is_value = outcome["state"] == "Complete" and not outcome["result_type"].endswith("Report")
            if is_refused or is_value:
                assert job.result_text == outcome["result"], name
    assert compared == 66


async def test_an_answer_takes_as_long_as_the_job_and_its_progress_passes_through(autojump_clock):
    site = Site(
        answers=[{"result": None, "result_type": "None", "progress": ["half", "nearly"], "seconds": 0.25}]
    )
    portal = Portal()
    progress = []
    async with portal.open_lifespan(site):
        began = trio.current_time()
        job = await run(
            portal,
            site,
            "bridge.waldur submit waldur.brics add_user fred.proj.waldur",
            "bridge",
            progress=progress,
        )
        assert job.status is Status.COMPLETE
        assert trio.current_time() - began == pytest.approx(2.25)
    assert [message for _, message in progress] == ["Job registered - processing...", "half", "nearly"]


async def test_a_job_for_an_agent_that_is_away_for_a_moment_is_put_and_waits_for_it(autojump_clock):
    site = Site(answers=[{"result": None, "result_type": "None"}])
    site.known["brics"].is_ready = False
    portal = Portal()
    async with portal.open_lifespan(site):
        job = await run(portal, site, "bridge.waldur submit waldur.brics add_user fred.proj.waldur", "bridge")
    assert job.status is Status.COMPLETE
    assert len(site.put) == 1


async def test_an_agent_that_never_came_is_waited_for_five_seconds(autojump_clock):
    site = Site(there=("bridge",))
    portal = Portal()
    async with portal.open_lifespan(site):
        began = trio.current_time()
        job = await run(portal, site, "bridge.waldur submit waldur.brics add_user fred.proj.waldur", "bridge")
        assert trio.current_time() - began == 5
    assert "Cannot find next agent" in job.result_text


@pytest.mark.parametrize("zone", ["ukri>waldur", "waldur>ukri"])
async def test_of_two_links_with_a_portal_that_one_is_taken_in_which_this_portal_asks(zone, autojump_clock):
    site = Site(answers=[{"result": None, "result_type": "None"}])
    site.known["ukri"].zone = zone
    site.known["again"] = FakePeer(
        site, "ukri", AgentType.PORTAL, "waldur>ukri" if zone != "waldur>ukri" else "default"
    )
    portal = Portal()
    async with portal.open_lifespan(site):
        await run(portal, site, "bridge.waldur submit waldur.ukri.res get_projects waldur", "bridge")
    assert [zone for _, zone, _, _, _ in site.put] == ["waldur>ukri"]


async def test_a_job_that_is_given_up_is_deleted_further_on(autojump_clock):
    site = Site(answers=[{"result": None, "result_type": "None", "seconds": 1000}])
    portal = Portal()
    async with portal.open_lifespan(site):
        with trio.move_on_after(1):
            await run(portal, site, "bridge.waldur submit waldur.brics add_user fred.proj.waldur", "bridge")
    assert site.deleted == ["waldur.brics add_user fred.proj.waldur"]


@pytest.mark.parametrize(
    ("kind", "message", "text"),
    [
        ("expired", "Job expired", "ExpirationError{{}}"),
        ("run", "no space", "RuntimeError{no space}"),
        ("unknown", "", "UnknownError{{}}"),
    ],
)
def test_errors_have_the_texts_that_web_portals_read(kind, message, text):
    submitted = Job.parse("bridge.waldur submit waldur.brics add_user fred.proj.waldur").pending()
    inner = attrs.evolve(
        submitted, status=Status.ERROR, result_text=message, error=ErrorInfo(kind, message, "far")
    )
    ended = submitted_result(submitted, inner)
    assert ended.result_text == text
    assert ended.error.kind == kind


@pytest.mark.parametrize("asked_by", ["brics", "self"])
async def test_only_the_portal_of_the_zone_may_ask_for_its_own_projects(asked_by, autojump_clock):
    site = Site()
    portal = Portal()
    async with portal.open_lifespan(site):
        job = await run(portal, site, f"{asked_by}.waldur.res get_project proj.ukri", asked_by)
    assert job.status is Status.ERROR
    assert site.put == []


async def test_a_bridge_that_refuses_leaves_the_offerings_as_they_were(autojump_clock):
    site = Site(answers=[{"error": "no room"}])
    portal = Portal()
    async with portal.open_lifespan(site):
        job = await run(portal, site, "bridge.waldur sync_offerings res.waldur.ukri", "bridge")
        assert job.result_text == "no room"
        assert site.offered == frozenset()


async def test_offerings_survive_a_restart_and_are_told_to_the_bridge_again(tmp_path, autojump_clock):
    config = make_config("waldur", AgentType.PORTAL)
    config.store = f"sqlite:///{tmp_path}/waldur.db"
    answer = {"result": '["res.waldur.ukri"]', "result_type": "Destinations"}
    site = Site(config=config, answers=[answer])
    portal = Portal()
    async with portal.open_lifespan(site):
        await run(portal, site, "bridge.waldur sync_offerings res.waldur.ukri", "bridge")
    assert (tmp_path / "waldur.offerings.json").stat().st_mode & 0o777 == 0o600
    again = Site(config=config, answers=[answer])
    async with Portal().open_lifespan(again):
        await trio.testing.wait_all_tasks_blocked()
        assert again.offered == {Peer("res", "ukri>waldur")}
        assert [command for _, _, command, _, _ in again.put] == [
            "waldur.bridge sync_offerings res.waldur.ukri"
        ]


def test_offerings_in_memory_have_no_file():
    assert offerings_path(make_config("waldur", AgentType.PORTAL)) is None
    assert OfferingsFile(None).read() == ()
    assert offerings_path(make_config("waldur", AgentType.PORTAL, offerings_file="/x")).name == "x"


def test_offerings_are_three_names_and_the_middle_one_is_the_portal():
    wanted = Destinations.parse("[a.b, a.b.c.d, res.other.ukri, res.waldur.ukri]")
    assert accepted([*wanted, *wanted], "waldur") == (Destination.parse("res.waldur.ukri"),)
    assert virtual_peers(accepted(wanted, "waldur")) == {Peer("res", "ukri>waldur")}


@pytest.mark.parametrize("count", [1000, 1001])
def test_there_are_at_most_a_thousand_offerings(count):
    wanted = [Destination.parse(f"r{number}.waldur.ukri") for number in range(count)]
    if count > 1000:
        with pytest.raises(JobError, match="1001 offerings"):
            accepted(wanted, "waldur")
    else:
        assert len(accepted(wanted, "waldur")) == count


@pytest.mark.parametrize(
    ("path", "to"),
    [("waldur.brics.x", "brics"), ("res.waldur.ukri", "ukri"), ("res.waldur", "bridge"), ("nores.waldur.ukri", None),
     ("a.b.waldur", None), ("a.b", None)],
)  # fmt: skip
async def test_a_forwarded_notification_goes_where_its_path_says(path, to, autojump_clock):
    site = Site()
    portal = Portal()
    async with portal.open_lifespan(site):
        portal._offerings = (Destination.parse("res.waldur.ukri"),)
        inner = Notification.parse(f"{path} user_added fred.proj.waldur")
        outer = attrs.evolve(inner, destination=Destination.parse("bridge.waldur"), event=Forward(inner))
        await portal.notified(
            NotificationEnvelope(notification=outer, sender="bridge", recipient="waldur", zone="default")
        )
    assert site.notified == ([] if to is None else [(str(inner), to)])
