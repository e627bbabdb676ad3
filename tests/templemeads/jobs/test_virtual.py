"""Jobs for names that an agent answers to beside its own."""

from __future__ import annotations

import attrs
import pytest

from paddington import Peer
from templemeads import Limits, Status
from templemeads.errors import StateError
from templemeads.jobs.commands import Delete, Put
from templemeads.jobs.exchange import Exchange
from templemeads.jobs.outcome import Write
from templemeads.jobs.virtual import VirtualAgents
from tests.templemeads.values import NOW, job

ASKER = Peer("ukri", "ukri>brics")
RES = Peer("res", "ukri>brics")


def hosting(**limits):
    exchange = Exchange(
        "brics", is_neighbour=lambda peer: peer.name in ("ukri", "bridge"), limits=Limits(**limits)
    )
    exchange.virtual = VirtualAgents()
    return exchange


def asked(number=1, name="res", user="fred"):
    return job(number, f"ukri.brics.{name} get_users {user}.ukri", now=NOW).pending(NOW)


def runs(outcome):
    return [(run.peer, run.job.id.int) for run in outcome.runs]


def test_a_job_for_a_resource_that_is_offered_runs_and_its_result_goes_back():
    exchange = hosting()
    exchange.offer(frozenset({RES}), NOW)
    one = asked()
    assert runs(exchange.receive(ASKER, Put(one), NOW)) == [(ASKER, 1)]
    outcome = exchange.finish(ASKER, one.id, one.completed("done", now=NOW), NOW)
    assert [(send.peer, send.job.status) for send in outcome.sends] == [(ASKER, Status.COMPLETE)]


def test_a_job_waits_until_the_resource_is_offered_in_its_zone():
    exchange = hosting()
    one = asked()
    outcome = exchange.receive(ASKER, Put(one), NOW)
    assert (outcome.runs, outcome.sends, outcome.refusals) == ([], [], [])
    assert exchange.find(ASKER, one.id).status is Status.PENDING
    assert runs(exchange.offer(frozenset({Peer("res", "default"), Peer("other", "ukri>brics")}), NOW)) == []
    assert runs(exchange.offer(frozenset({RES}), NOW)) == [(ASKER, 1)]
    assert runs(exchange.offer(frozenset({RES}), NOW)) == [], "it runs once"


def test_a_job_that_waits_expires_in_time():
    exchange = hosting()
    one = asked()
    exchange.receive(ASKER, Put(one), NOW)
    outcome = exchange.sweep(one.expires + 1)
    assert [send.job.status for send in outcome.sends] == [Status.ERROR]
    assert runs(exchange.offer(frozenset({RES}), one.expires + 1)) == []


def test_a_job_that_waits_can_be_deleted():
    exchange = hosting()
    one = asked()
    exchange.receive(ASKER, Put(one), NOW)
    exchange.receive(ASKER, Delete(one), NOW)
    assert runs(exchange.offer(frozenset({RES}), NOW)) == []


def test_a_running_job_for_a_resource_is_stopped_when_it_is_deleted():
    exchange = hosting()
    exchange.offer(frozenset({RES}), NOW)
    one = asked()
    exchange.receive(ASKER, Put(one), NOW)
    outcome = exchange.receive(ASKER, Delete(one), NOW)
    assert [cancel.job_id for cancel in outcome.cancels] == [one.id]


def test_after_a_restart_a_job_waits_until_the_resource_is_offered_again():
    exchange = hosting()
    assert exchange.restore([Write(ASKER, asked())], NOW).runs == []
    assert runs(exchange.offer(frozenset({RES}), NOW)) == [(ASKER, 1)]


def test_a_real_peer_of_the_same_name_comes_first():
    exchange = hosting()
    exchange.offer(frozenset({Peer("bridge", "ukri>brics")}), NOW)
    outcome = exchange.receive(ASKER, Put(asked(name="bridge")), NOW)
    assert outcome.runs == []
    assert [send.peer for send in outcome.sends] == [Peer("bridge", "ukri>brics")]


def test_a_resource_is_the_last_name_of_a_path():
    exchange = hosting()
    exchange.offer(frozenset({RES}), NOW)
    outcome = exchange.receive(ASKER, Put(asked(name="res.more")), NOW)
    assert [send.job.error.kind for send in outcome.sends] == ["unroutable"]


def test_an_agent_that_hosts_none_refuses_what_it_knows_no_way_to():
    exchange = hosting()
    exchange.virtual = None
    outcome = exchange.receive(ASKER, Put(asked()), NOW)
    assert [send.job.error.kind for send in outcome.sends] == ["unroutable"]
    with pytest.raises(StateError):
        exchange.offer(frozenset(), NOW)


@pytest.mark.parametrize("limit", [1, 3])
def test_only_so_many_jobs_wait_for_what_is_not_offered(limit):
    exchange = hosting(jobs_for_absent=limit)
    for number in range(1, limit + 1):
        assert exchange.receive(ASKER, Put(asked(number, user=f"p{number}")), NOW).sends == []
    outcome = exchange.receive(ASKER, Put(asked(99, user="late")), NOW)
    assert [send.job.error.kind for send in outcome.sends] == ["unroutable"]
    gone = attrs.evolve(asked(1, user="p1"))
    exchange.receive(ASKER, Delete(gone), NOW)
    assert exchange.receive(ASKER, Put(asked(100, user="later")), NOW).sends == [], "there is room again"
