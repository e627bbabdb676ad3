import json
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import Peer
from templemeads import Limits, PeerNotFoundError, RefusedError, Status
from templemeads.jobs.commands import BadPut, Delete, Put, Sync, Update, decode
from templemeads.jobs.exchange import Exchange
from templemeads.jobs.outcome import Kind
from tests.templemeads.estates import NAMES, ROUTE, Estate
from tests.templemeads.values import NOW, job

USERS = ("fred", "jane", "mary")
LINKS = list(pairwise(NAMES))


def route_job(number: int, user: str = "fred", **options):
    return job(number, f"{ROUTE} add_user {user}.proj.waldur", **options)


EVENTS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 5)),
    st.tuples(st.just("submit"), st.integers(1, 5)),
    st.tuples(st.just("connect"), st.sampled_from(LINKS)),
    st.tuples(st.just("cut"), st.sampled_from(LINKS)),
    st.tuples(st.just("deliver"), st.sampled_from([*LINKS, *((b, a) for a, b in LINKS)])),
    st.tuples(st.just("flow"), st.integers(1, 4)),
    st.tuples(st.just("flow"), st.integers(1, 4)),
    st.tuples(st.just("flow"), st.just(6)),
    st.tuples(st.just("sync"), st.sampled_from(NAMES)),
    st.tuples(st.just("crash"), st.sampled_from(NAMES)),
    st.tuples(st.just("finish"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("finish"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("progress"), st.sampled_from(["half", "most"])),
    st.tuples(st.just("delete"), st.integers(1, 5)),
)


def happen(estate: Estate, event: str, argument) -> None:
    match event:
        case "submit" if argument not in {one.id.int for one in estate.accepted.values()}:
            estate.submit(route_job(argument, USERS[argument % 3], now=estate.now))
        case "delete":
            for one in list(estate.accepted.values()):
                if one.id.int == argument and one.id not in estate.told:
                    estate.delete(one)
        case "connect" | "cut" | "deliver":
            getattr(estate, event)(*argument)
        case "sync" | "crash" | "flow":
            getattr(estate, event)(argument)
        case "finish" | "progress":
            getattr(estate, event)("shared", argument)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_no_accepted_job_is_lost_whatever_is_cut_and_crashes(events):
    estate = Estate()
    for left, right in LINKS:
        estate.connect(left, right)
    for event, argument in events:
        happen(estate, event, argument)
    for left, right in LINKS:
        estate.connect(left, right)
    estate.flow(12)
    assert not estate.deleted & estate.nodes["shared"].running.keys(), "a handler runs for a deleted job"
    estate.settle()
    for job_id in estate.accepted:
        if job_id in estate.deleted:
            boards = [board for node in estate.nodes.values() for board in node.exchange.boards.values()]
            assert all(job_id not in board for board in boards)
        else:
            assert estate.told[job_id].status is Status.COMPLETE
    for left, right in LINKS:
        theirs = {one.id: one for one in estate.nodes[left].exchange.board(Peer(right))}
        ours = {one.id: one for one in estate.nodes[right].exchange.board(Peer(left))}
        # A duplicate waits where it was put, and is not sent on.
        waited = {job_id for job_id, one in estate.accepted.items() if one.status is Status.DUPLICATE}
        assert {i: one for i, one in theirs.items() if i in ours or i not in waited} == ours


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(EVENTS, st.tuples(st.just("tick"), st.sampled_from([1, 50, 130]))), max_size=60))
def test_every_accepted_job_ends_once_even_if_time_runs_out(events):
    estate = Estate()
    for event, argument in events:
        if event == "tick":
            estate.tick(argument)
        else:
            happen(estate, event, argument)
    for left, right in LINKS:
        estate.connect(left, right)
    estate.flow(10)
    estate.tick(200)
    assert not estate.nodes["shared"].running, "a handler runs for a job that has expired"
    estate.settle()
    for job_id in estate.accepted.keys() - estate.deleted:
        told = estate.told[job_id]
        assert told.status is Status.COMPLETE or told.result_text.startswith("Job expired")
    estate.tick(10_000)
    assert all(len(board) == 0 for node in estate.nodes.values() for board in node.exchange.boards.values())
    for name in NAMES:
        estate.sync(name)
        assert not estate.nodes[name].disk


def exchange(name: str = "brics", neighbours=("waldur", "notebook"), **options) -> Exchange:
    return Exchange(name, is_neighbour=lambda peer: peer.name in neighbours, **options)


@pytest.mark.parametrize(
    ("sender", "command"),
    [
        ("notebook", Put),  # from the wrong side
        ("shared", Put),  # in the path, but not next to us
        ("stranger", Put),
        ("waldur", Update),
        ("shared", Update),
        ("notebook", Delete),
        ("stranger", Delete),
    ],
)
def test_only_the_neighbour_on_the_right_side_is_heard(sender, command):
    one = exchange()
    known = one.receive(Peer("waldur"), Put(route_job(1)), NOW)
    assert known.sends
    change = route_job(1).completed("forged", now=NOW) if command is Update else route_job(2, "jane")
    if command is Delete:
        change = route_job(1)
    outcome = one.receive(Peer(sender), command(change), NOW)
    assert [refusal.kind for refusal in outcome.refusals] == ["refused"]
    assert not outcome.writes
    assert not outcome.sends
    assert one.find(Peer("waldur"), route_job(1).id) == route_job(1)


def test_a_path_that_names_us_twice_or_goes_nowhere_is_refused():
    for path in ("waldur.brics.waldur.brics", "brics.waldur", "waldur.notebook"):
        outcome = exchange().receive(Peer("waldur"), Put(job(1, f"{path} add_user a.b.waldur")), NOW)
        assert not outcome.runs
        assert not outcome.sends
        assert not outcome.writes
        assert outcome.answers


def test_a_refused_put_is_answered_so_that_its_sender_need_not_wait():
    outcome = exchange().receive(Peer("waldur"), Put(job(1, "waldur.brics.nowhere add_user a.b.waldur")), NOW)
    (sent,) = outcome.sends
    assert sent.kind is Kind.UPDATE
    assert sent.job.error_info.kind == "unroutable"
    assert "nowhere" in sent.job.result_text
    assert sent.job.error_info.origin == "brics"


def test_a_full_board_is_told_to_the_sender():
    one = exchange(limits=Limits(board_jobs=1))
    one.receive(Peer("waldur"), Put(route_job(1)), NOW)
    outcome = one.receive(Peer("waldur"), Put(route_job(2, "jane")), NOW)
    (answer,) = outcome.answers
    told = decode(answer.text)
    assert isinstance(told, Update)
    assert told.job.status is Status.ERROR
    assert "full" in told.job.result_text


def test_a_put_that_cannot_be_read_is_answered_and_the_rest_of_its_sync_is_taken():
    good, bad = route_job(1).to_json(), route_job(2).to_json() | {"command": f"{ROUTE} nonsense"}
    put = decode(json.dumps({"Put": {"job": bad}}))
    assert isinstance(put, BadPut)
    outcome = exchange().receive(Peer("waldur"), put, NOW)
    assert '"state":"Error"' in outcome.answers[0].text
    assert '"kind":"invalid"' in outcome.answers[0].text
    sync = decode(json.dumps({"Sync": {"state": {"jobs": [bad, good]}}}))
    outcome = exchange().receive(Peer("waldur"), sync, NOW)
    assert [send.job.id for send in outcome.sends] == [route_job(1).id]


def test_an_expired_put_is_answered_with_that_error_and_an_expired_update_is_dropped():
    one = exchange()
    outcome = one.receive(Peer("waldur"), Put(route_job(1)), NOW + 120)
    assert "Job expired 0 s ago by this agent's clock (brics)" in outcome.answers[0].text
    assert not outcome.writes
    late = one.receive(Peer("notebook"), Update(route_job(1).completed("x", now=NOW)), NOW + 120)
    assert not late.writes
    assert not late.sends


def test_zones_never_mix():
    one = Exchange(
        "brics", is_neighbour=lambda peer: peer == Peer("notebook", "default") or peer.name == "waldur"
    )
    outcome = one.receive(Peer("waldur", "internal"), Put(route_job(1)), NOW)
    assert outcome.sends[0].job.error_info.kind == "unroutable"
    outcome = one.receive(Peer("waldur", "default"), Put(route_job(1)), NOW)
    assert (outcome.sends[0].peer, outcome.sends[0].kind) == (Peer("notebook", "default"), Kind.PUT)


def test_a_known_id_with_another_command_is_refused_after_it_ran():
    one = exchange("shared", ("notebook",))
    one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    one.finish(Peer("notebook"), route_job(1).id, route_job(1).completed("x", now=NOW), NOW)
    outcome = one.receive(Peer("notebook"), Put(route_job(1, "jane")), NOW)
    assert not outcome.runs
    assert outcome.refusals
    assert '"x"' not in outcome.answers[0].text


def test_the_same_put_again_joins_the_running_job_and_later_gets_the_stored_answer():
    one = exchange("shared", ("notebook",))
    assert one.receive(Peer("notebook"), Put(route_job(1)), NOW).runs
    again = one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    assert not again.runs
    assert not again.sends
    one.finish(Peer("notebook"), route_job(1).id, route_job(1).completed("x", now=NOW), NOW)
    stored = one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    assert not stored.runs
    assert [(send.kind, send.job.result()) for send in stored.sends] == [(Kind.UPDATE, "x")]


def test_a_delete_stops_the_handler_and_what_comes_later_is_dropped():
    one = exchange("shared", ("notebook",))
    one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    outcome = one.receive(Peer("notebook"), Delete(route_job(1)), NOW)
    assert [cancel.job_id for cancel in outcome.cancels] == [route_job(1).id]
    late = one.finish(Peer("notebook"), route_job(1).id, route_job(1).completed("x", now=NOW), NOW)
    assert not late.sends
    assert not late.writes
    assert not one.receive(Peer("notebook"), Put(route_job(1)), NOW).runs


def test_an_end_that_the_agent_before_us_holds_stops_our_handler():
    one = exchange("shared", ("notebook",))
    one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    outcome = one.receive(Peer("notebook"), Sync((route_job(1).errored("gave up", now=NOW),)), NOW)
    assert outcome.cancels
    assert not outcome.sends


def test_a_sync_above_the_limit_is_refused_whole():
    one = exchange("shared", ("notebook",), limits=Limits(sync_jobs=2))
    jobs = tuple(route_job(number, USERS[number % 3]) for number in range(1, 4))
    assert not one.receive(Peer("notebook"), Sync(jobs), NOW).runs
    assert len(one.receive(Peer("notebook"), Sync(jobs[:2]), NOW).runs) == 2


def test_our_own_job_must_start_here_and_go_to_a_peer_that_is_configured():
    one = exchange("waldur", ("brics",))
    with pytest.raises(RefusedError, match="does not lead"):
        one.submit(job(1, "brics.waldur add_user a.b.c"), Peer("brics"), NOW)
    with pytest.raises(RefusedError, match="does not lead"):
        one.submit(route_job(1), Peer("shared"), NOW)
    with pytest.raises(PeerNotFoundError):
        one.submit(job(1, "waldur.nobody add_user a.b.c"), Peer("nobody"), NOW)
    with pytest.raises(RefusedError, match="expired"):
        one.submit(route_job(1), Peer("brics"), NOW + 500)


def test_a_lifetime_above_the_limit_is_shortened_at_the_source():
    one = exchange("waldur", ("brics",))
    kept, _ = one.submit(route_job(1, lifetime=1_000_000), Peer("brics"), NOW)
    assert kept.expires == NOW + 3600


def test_a_result_too_large_for_a_frame_becomes_an_error_that_names_the_size():
    one = exchange("shared", ("notebook",), payload_fits=lambda _, text: len(text) < 50_000)
    one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    outcome = one.finish(
        Peer("notebook"), route_job(1).id, route_job(1).completed("x" * 60_000, now=NOW), NOW
    )
    (send,) = outcome.sends
    assert send.job.status is Status.ERROR
    assert "60" in send.job.result_text


def test_jobs_of_one_id_on_two_boards_are_two_jobs():
    one = exchange("shared", ("notebook", "other"))
    one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    outcome = one.receive(Peer("other"), Put(job(1, "other.shared add_user a.b.other")), NOW)
    assert outcome.runs
    one.finish(Peer("other"), route_job(1).id, attrs.evolve(route_job(1)).completed("theirs", now=NOW), NOW)
    assert not one.find(Peer("notebook"), route_job(1).id).is_finished


def test_no_more_boards_than_the_limit():
    one = Exchange("shared", limits=Limits(boards=2))
    for name in ("a", "b", "c"):
        outcome = one.receive(Peer(name), Put(job(1, f"{name}.shared add_user a.b.{name}")), NOW)
        assert bool(outcome.runs) == (name != "c")


def test_an_owner_check_that_fails_is_the_jobs_error():
    def refuse(peer, arrived):
        raise RefusedError("that is not yours")

    one = exchange("shared", ("notebook",), check_owner=refuse)
    outcome = one.receive(Peer("notebook"), Put(route_job(1)), NOW)
    assert not outcome.runs
    assert outcome.sends[0].job.result_text == "that is not yours"


def test_an_update_for_an_agent_that_is_not_our_peer_leaves_no_trace():
    one = exchange()
    for number in range(5):
        made_up = job(number, f"invented{number}.brics.notebook add_user a.b.c").completed("x", now=NOW)
        assert one.receive(Peer("notebook"), Update(made_up), NOW).refusals
    assert set(one.boards) <= {Peer("notebook")}
    assert all(len(board) == 0 for board in one.boards.values())


def test_an_answer_that_is_there_is_better_than_an_expiry_that_is_about_to_come():
    one = exchange()
    one.receive(Peer("waldur"), Put(route_job(1)), NOW)
    answer = route_job(1).completed("done", now=NOW + 1)
    outcome = one.receive(Peer("notebook"), Update(answer), NOW + 500)
    assert [(send.peer.name, send.job.result()) for send in outcome.sends] == [("waldur", "done")]
    assert not outcome.refusals
    # The same Put comes again, long after the job has expired: its sender gets the result.
    outcome = one.receive(Peer("waldur"), Put(route_job(1)), NOW + 500)
    assert [send.job.result() for send in outcome.sends] == ["done"]


@pytest.mark.parametrize("step", [-7200, -300, 300, 7200])
def test_no_answer_is_lost_when_somebody_sets_the_clock(step):
    one = exchange()
    one.receive(Peer("waldur"), Put(route_job(1)), NOW)
    one.clock_set(step)
    now = NOW + step + 2
    assert not one.sweep(now).writes
    outcome = one.receive(Peer("notebook"), Update(route_job(1).completed("done", now=NOW + 2)), now)
    assert [send.job.result() for send in outcome.sends] == ["done"]
    assert not outcome.refusals


def test_a_refusal_for_time_says_how_long_ago_and_by_whose_clock():
    one = exchange()
    outcome = one.receive(Peer("waldur"), Put(route_job(1)), NOW + 180)
    (answer,) = [decode(answer.text).job for answer in outcome.answers]
    assert answer.error_info.kind == "expired"
    assert answer.result_text == "Job expired 60 s ago by this agent's clock (brics)"


def test_a_duplicate_that_outlives_its_original_is_passed_on():
    one = exchange()
    one.receive(Peer("waldur"), Put(route_job(1)), NOW)
    one.receive(Peer("waldur"), Put(route_job(2, lifetime=600)), NOW + 1)
    outcome = one.sweep(NOW + 120)
    sent = [(send.peer.name, send.kind, send.job.id.int) for send in outcome.sends]
    assert ("waldur", Kind.UPDATE, 1) in sent
    assert ("notebook", Kind.PUT, 2) in sent
    assert ("waldur", Kind.UPDATE, 2) not in sent
