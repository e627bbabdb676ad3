"""A peer with valid keys that lies about jobs: it harms its own board and nobody else's."""

from __future__ import annotations

import time
import uuid

import pytest
import trio

from templemeads import Job, JobError, Limits, Status
from templemeads.jobs.outcome import Kind
from templemeads.links.outbox import Outbox

from .hostile import EPOCH, ROUTE, SOON, calendar, estate, job_json, job_json_at, memory_within, settle

NAMES = ("mallory", "portal", "middle", "cluster", "nobody")


def paths_without_a_right_to_speak(here, kind):
    """Paths on which mallory, seen from `here`, is not the neighbour that such a command comes from."""
    paths = [f"{a}.{b}" for a in NAMES for b in NAMES if a != b]
    paths += [f"{a}.{b}.{c}" for a in NAMES for b in NAMES for c in NAMES if len({a, b, c}) == 3]
    paths += [f"mallory.nobody.{here}", f"{here}.nobody.mallory", f"mallory.{here}.mallory", f"{here}.{here}"]
    right = f"{here}.mallory" if kind == "Update" else f"mallory.{here}"
    return [path for path in paths if right not in path]


@pytest.mark.case("R4")
@pytest.mark.parametrize("kind", ["Put", "Update", "Delete", "Sync"])
@pytest.mark.parametrize("here", ["middle", "cluster"])
async def test_only_the_neighbour_on_the_right_side_is_heard(autojump_clock, kind, here):
    async with estate() as attacked:
        line = attacked.lines[here]
        for path in paths_without_a_right_to_speak(here, kind):
            if kind == "Sync" and f"{here}.mallory" in path:
                continue
            state = "Complete" if kind == "Update" else "Pending"
            job = job_json(f"{path} remove_user planted.proj.portal", state=state)
            await line.say(kind, **({"state": {"jobs": [job]}} if kind == "Sync" else {"job": job}))
        await settle()
        assert not attacked.ran
        for agent in attacked.agents.values():
            assert not [job for board in agent.exchange.boards.values() for job in board]
        assert attacked.refused[here]["refused"] > 10


@pytest.mark.case("R12")
@pytest.mark.case("P57")
async def test_jobs_on_a_third_peers_board_are_out_of_reach(autojump_clock):
    begun, go_on = trio.Event(), trio.Event()

    async def handler(envelope):
        if envelope.sender == "middle" and "victim" in str(envelope.job.instruction):
            begun.set()
            await go_on.wait()
        return envelope.job.completed("done")

    async with estate(handler=handler) as attacked:
        planted = job_json("mallory.middle.cluster remove_user victim.proj.portal")
        await attacked.lines["middle"].say("Put", job=planted)
        job = await attacked["portal"].submit(f"{ROUTE} remove_user victim.proj.portal")
        await begun.wait()
        known = job_json(job.command, id=str(job.id), version=2**59, state="Complete", result='"mallory"')
        others = job_json(
            "mallory.middle.cluster remove_user other.proj.portal", id=str(job.id), version=2**59
        )
        for name in ("portal", "middle", "cluster"):
            for each in (known, others):
                for kind in ("Put", "Update", "Delete"):
                    await attacked.lines[name].say(kind, job=each)
                await attacked.lines[name].say("Sync", state={"jobs": [each]})
        await settle()
        go_on.set()
        with trio.fail_after(SOON):
            assert (await job.wait()).result() == "done"


@pytest.mark.case("P58")
async def test_nobody_becomes_the_duplicate_of_a_strangers_job(autojump_clock):
    async def handler(envelope):
        await trio.sleep(1)
        path = str(envelope.job.destination)
        return envelope.job.completed("done" if "remove_user" in envelope.job.command else path)

    async with estate(handler=handler) as attacked:
        await attacked.lines["middle"].say("Put", job=job_json("mallory.middle.cluster get_users p.portal"))
        await settle()
        job = await (await attacked["portal"].submit(f"{ROUTE} get_users p.portal")).wait()
        assert job.result() == ROUTE
        assert attacked.ran == ["get_users p.portal"] * 2


@pytest.mark.case("P57")
async def test_a_known_id_with_another_command_gets_no_stored_answer(autojump_clock):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        first = job_json("mallory.cluster remove_user fred.proj.portal")
        await line.say("Put", job=first)
        await settle()
        await line.say("Put", job=first | {"command": "mallory.cluster remove_user root.proj.portal"})
        await settle()
        assert attacked.ran == ["remove_user fred.proj.portal"]
        assert line.errors_of(first)


@pytest.mark.case("R6")
@pytest.mark.parametrize("version", [2**40, 2**60, 2**60 + 1, 2**63, 2**64 - 1])
async def test_a_version_jump_costs_nothing_and_reopens_nothing(autojump_clock, version):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        job = job_json("mallory.cluster remove_user fred.proj.portal")
        await line.say("Put", job=job)
        await settle()
        begun = time.perf_counter()
        for changes in (
            {"version": version},
            {"version": version, "state": "Running"},
            {"version": 3, "changed": job["changed"] + 3600},
        ):
            await line.say("Put", job=job | changes)
        await line.say("Put", job=job_json("mallory.cluster remove_user jane.proj.portal", version=version))
        await settle()
        assert time.perf_counter() - begun < 1
        (board,) = (b for p, b in attacked["cluster"].exchange.boards.items() if p.name == "mallory")
        assert board.get(uuid.UUID(job["id"])).status is Status.COMPLETE
        assert attacked.ran.count("remove_user fred.proj.portal") == 1


YEAR_3000, YEAR_2200 = 32_503_680_000, 7_258_118_400


@pytest.mark.case("R31")
@pytest.mark.case("P62")
@pytest.mark.case("P63")
@pytest.mark.parametrize(
    "times",
    [
        {"expires": YEAR_3000},
        {"created": YEAR_2200, "changed": YEAR_2200, "expires": YEAR_3000},
        {"changed": YEAR_2200},
        {"created": 0, "changed": 0, "expires": YEAR_3000},
        {"created": int(EPOCH) + 600, "changed": int(EPOCH) + 600, "expires": int(EPOCH) + 720},
    ],
)
async def test_no_job_lives_longer_than_an_hour_whatever_it_says(autojump_clock, times):
    async def handler(envelope):
        if "slow" in str(envelope.job.instruction):
            await trio.sleep_forever()
        return envelope.job.completed("done")

    async with estate(handler=handler) as attacked:
        for name in ("middle", "cluster"):
            line = attacked.lines[name]
            await line.say("Put", job=job_json(f"mallory.{name} remove_user slow.proj.portal", **times))
            await line.say("Put", job=job_json(f"mallory.{name} remove_user fast.proj.portal", **times))
        await line.say(
            "Update", job=job_json("cluster.mallory remove_user x.proj.portal", state="Running", **times)
        )
        await settle()
        await trio.sleep(3600 + Limits().finished_seconds + 60)
        await settle()
        for agent in attacked.agents.values():
            assert agent.statistics().running == 0
            assert not [job for board in agent.exchange.boards.values() for job in board]


@pytest.mark.case("R31")
@pytest.mark.parametrize("created", [YEAR_2200 + 1, -1, 2**62])
async def test_a_job_that_is_over_before_it_begins_is_answered_and_not_kept(autojump_clock, created):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        job = job_json("mallory.cluster remove_user fred.proj.portal", created=created, expires=0)
        await line.say("Put", job=job)
        await settle()
        assert line.errors_of(job) or created == 2**62
        assert not attacked.ran


@pytest.mark.case("R31")
@pytest.mark.case("P64")
async def test_the_memory_of_many_and_large_jobs_is_bounded(autojump_clock):
    limits = Limits(board_jobs=300, tombstones=100, board_characters=2_000_000)
    large = "x" * 100_000

    async with estate(limits=limits) as attacked:
        line = attacked.lines["middle"]
        with memory_within(15):
            for number in range(80):
                # Ended jobs are kept for whoever asks late, deleted ones so that they do not come back.
                ended = job_json(f"middle.mallory remove_user u{number}.proj.portal", state="Complete")
                await line.say("Update", job=ended | {"result": large, "result_type": "String"})
                await line.say(
                    "Delete",
                    job=job_json(f"mallory.middle.cluster remove_user v{number}.proj.portal", result=large),
                )
                line.told.clear()
            for number in range(800):
                await line.say(
                    "Put", job=job_json(f"mallory.middle.cluster remove_user w{number}.proj.portal")
                )
                line.told.clear()
            await settle()
        boards = attacked["middle"].exchange.boards
        (board,) = (board for peer, board in boards.items() if peer.name == "mallory")
        assert len(board) <= 300
        assert len(board.tombstones) <= 100
        assert board.characters <= 2_100_000  # what is known may still grow by its answer


@pytest.mark.case("P8")
@pytest.mark.case("P64")
async def test_what_waits_for_a_peer_that_does_not_read_is_bounded(autojump_clock):
    limits = Limits(board_characters=3_000_000, queued_characters=1_000_000)
    async with estate(limits=limits) as attacked:
        # Nothing reaches the portal any more, and nobody notices yet.
        attacked.network.freeze(6501)
        line = attacked.lines["middle"]
        with memory_within(25):
            for number in range(150):
                answered = job_json(
                    f"portal.middle.mallory remove_user u{number}.proj.portal", state="Complete"
                )
                await line.say("Update", job=answered | {"result": "x" * 100_000})
                gone = job_json(f"mallory.middle.cluster remove_user v{number}.proj.portal")
                await line.say("Delete", job=gone | {"result": "x" * 100_000})
                line.told.clear()
            await settle()
        # The watchdog does, in its time; then all is as before.
        await trio.sleep(400)
        await attacked["portal"].wait_for("middle")


def test_a_queue_to_a_slow_peer_is_bounded_and_leaves_room_for_jobs():
    box = Outbox(1_000, 10_000)
    assert [box.add_text("x" * 3_000) for _ in range(5)] == [True, True, True, False, False]
    jobs = [Job.from_json(job_json_at(0) | {"result": "y" * 600}) for _ in range(10)]
    for job in jobs:
        box.add_job(Kind.DELETE, job)
    assert len(box) == 4
    assert box.dropped == 2 + 9

    async def main():
        taken = await box.take(2)
        assert isinstance(taken[0], str)
        assert taken[1].job == jobs[0]
        assert len(await box.take(32)) == 2
        assert box.add_text("x" * 10_000)
        assert not box.add_text("x")

    trio.run(main)


@pytest.mark.case("P64")
async def test_a_storm_of_puts_and_deletes_of_one_job_starts_one_handler(autojump_clock):
    async def handler(envelope):
        if "storm" in str(envelope.job.instruction):
            await trio.sleep_forever()
        return envelope.job.completed("done")

    async with estate(handler=handler) as attacked:
        line = attacked.lines["cluster"]
        job = job_json("mallory.cluster remove_user storm.proj.portal")
        for _ in range(1_000):
            await line.say("Put", job=job)
            await line.say("Delete", job=job)
        await settle()
        assert attacked.ran.count("remove_user storm.proj.portal") <= 1
        assert attacked["cluster"].statistics().running == 0


@pytest.mark.case("R23")
@pytest.mark.case("P9")
async def test_slow_jobs_of_one_peer_take_no_place_from_the_others(autojump_clock):
    async def handler(envelope):
        if "slow" in str(envelope.job.instruction):
            await trio.sleep_forever()
        return envelope.job.completed("done")

    async with estate(handler=handler) as attacked:
        line = attacked.lines["cluster"]
        for number in range(3_000):
            await line.say("Put", job=job_json(f"mallory.cluster remove_user slow{number}.proj.portal"))
        await settle()
        assert attacked["cluster"].statistics().running == Limits().handlers_per_peer
        await attacked.honest_job()


@pytest.mark.case("P60")
@pytest.mark.case("P61")
@pytest.mark.parametrize(
    "error",
    [
        {"kind": "x" * 10_000, "message": "y" * 100_000, "origin": "portal"},
        {"kind": "award_pending", "message": "ManagedProjectPendingError: wait", "origin": "z" * 100_000},
        None,
    ],
)
@pytest.mark.parametrize(
    "message", ["BaseException: x", "KeyboardInterrupt", "SystemExit", "OSError: x", "{0.__class__}"]
)
async def test_an_error_of_a_peer_becomes_a_job_error_and_nothing_else(autojump_clock, error, message):
    async with estate() as attacked:
        line = attacked.lines["portal"]
        job = await attacked["portal"].submit("portal.mallory remove_user fred.proj.portal")
        await settle()
        (put,) = line.answers("Put")
        answer = put["job"] | {"state": "Error", "version": 1002, "result": message, "result_type": "Error"}
        await line.say("Update", job=answer | ({"error": error} if error else {}))
        with pytest.raises(JobError) as raised, trio.fail_after(SOON):
            (await job.wait()).result()
        assert type(raised.value) is JobError
        assert len(raised.value.kind) <= 100
        assert len(raised.value.origin or "") <= 100


@pytest.mark.case("P71")
async def test_a_peer_of_another_zone_reaches_nobody_of_ours(autojump_clock):
    async with estate(zone="elsewhere") as attacked:
        line = attacked.lines["middle"]
        job = job_json("mallory.middle.cluster remove_user fred.proj.portal")
        await line.say("Put", job=job)
        back = job_json("portal.middle.mallory remove_user fred.proj.portal", state="Complete")
        await line.say("Update", job=back)
        await settle()
        assert not attacked.ran
        assert "zone 'elsewhere'" in line.errors_of(job)[0]
        assert not [j for b in attacked["portal"].exchange.boards.values() for j in b]


@pytest.mark.case("F5")
@pytest.mark.case("F1")
@pytest.mark.case("R14")
@pytest.mark.case("R18")
@pytest.mark.case("R25")
@pytest.mark.case("P46")
@pytest.mark.case("P47")
@pytest.mark.parametrize(
    "instruction",
    [
        *(
            f"add_user {name}.proj.portal"
            for name in (
                "-x",
                ";",
                "$(id)",
                "a;b",
                "a\tb",
                "a\nb",
                "a%0ab",
                "a/b",
                "a\\b",
                "a,b",
                "a=b",
                "'a'",
                '"a"',
                "a\x00",
                "a" * 65,
                "\u00e9",
                "\u0661",
                "\u212a",
                "a\u200d",
                "\u0430",
                "..",
                ".",
                "/etc/x",
                "",
                "\u2028",
                "a\u202e",
            )
        ),
        "add_local_user fred.proj.portal:grp 999999999",
        "add_local_user fred.proj.portal:a,b:c",
        "add_local_user fred.proj.portal:a:b:c:d",
        "add_local_user fred.proj.portal::",
        "add_local_user fred.proj.portal:a%2fb:c",
        "add_local_user fred.proj.portal:../a:c",
        "add_local_user fred.proj.portal:a@b@c.d:grp",
        "add_local_user fred.proj.portal:a@-x.y:grp",
        "add_local_user fred.proj.portal:a@b:grp",
        'add_local_user fred.proj.portal:"q u"@c.d:grp',
        "get_users p.-x",
        "get_projects -x",
        "get_projects ../",
        "get_usage_report p.portal 0001-01-01:9999-12-31",
        "get_usage_report p.portal 1970-01-01:2200-12-31",
        "get_usage_report p.portal -262143-01-01:2024-01-01",
        "get_usage_report p.portal 2024-02-30",
        "get_usage_report p.portal 20240101",
        "get_usage_report p.portal 2024-W01-1",
    ],
    ids=lambda text: ascii(text)[1:40],
)
async def test_what_could_act_on_a_shell_a_path_or_a_list_of_days_reaches_no_handler(
    autojump_clock, instruction
):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        job = job_json(f"mallory.cluster {instruction}")
        begun = time.perf_counter()
        await line.say("Put", job=job)
        await settle()
        assert time.perf_counter() - begun < 1
        assert line.errors_of(job)
        assert not attacked.ran


@pytest.mark.case("P62")
async def test_a_wall_clock_that_jumps_expires_and_delays_nothing_that_is_under_way(autojump_clock):
    async with estate() as attacked:
        assert calendar() >= EPOCH
        for jump in (-3600.0, 86_400.0, 0.0):
            for agent in attacked.agents.values():
                agent._clock = lambda jump=jump: calendar() + jump
            await attacked.honest_job()


@pytest.mark.case("P65")
async def test_a_thousand_waiters_wake_and_leave_nothing_behind(autojump_clock):
    go_on = trio.Event()

    async def handler(envelope):
        if "slow" in str(envelope.job.instruction):
            await go_on.wait()
        return envelope.job.completed("done")

    woken = []
    async with estate(handler=handler) as attacked:
        portal = attacked["portal"]
        job = await portal.submit(f"{ROUTE} remove_user slow.proj.portal")

        async def wait(scope=None):
            with scope or trio.CancelScope():
                woken.append((await job.wait()).result())

        async with trio.open_nursery() as nursery:
            scopes = [trio.CancelScope() for _ in range(500)]
            for scope in scopes:
                nursery.start_soon(wait, scope)
                nursery.start_soon(wait)
            await settle()
            # Half of them give up in the very instant in which the others are woken.
            go_on.set()
            for scope in scopes:
                scope.cancel()
        assert woken == ["done"] * 500
        assert not len(portal._executor.watches)
