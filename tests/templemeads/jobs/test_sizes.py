"""A job that is too large for an agent on its path ends at once, with an error that says so, and at every agent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import Peer
from templemeads import RefusedError, Status
from tests.templemeads.estates import NAMES, ROUTE, Estate
from tests.templemeads.values import job

LINKS = list(pairwise(NAMES))
MIN_SIZE = 1_500
"""Characters that a command with a short error takes up at most."""
SIZES = st.dictionaries(
    st.sampled_from([*LINKS, *((b, a) for a, b in LINKS)]), st.integers(MIN_SIZE, 6_000), max_size=6
)


def large_job(command_characters: int = 0):
    return job(1, f'{ROUTE} create_project proj.waldur {{"description":"{"x" * command_characters}"}}')


def connected(sizes) -> Estate:
    estate = Estate(sizes=sizes)
    for left, right in LINKS:
        estate.connect(left, right)
    return estate


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 8_000))
def test_a_result_arrives_or_an_error_says_that_it_is_too_large_for_whom(sizes, length):
    estate = connected(sizes)
    estate.submit(large_job())
    estate.flow(6)
    estate.finish("shared", "x" * length)
    estate.flow(6)
    told = estate.told[large_job().id]
    if told.status is Status.ERROR:
        (peer,) = (before for before, after in LINKS if after == told.error.origin)
        assert f"more than {peer}@default accepts" in told.result_text
        assert sizes[told.error.origin, peer] < length + 1_000
    else:
        assert told.result() == "x" * length
        assert all(limit > length for (left, right), limit in sizes.items() if (right, left) in LINKS)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 8_000))
def test_a_command_arrives_or_is_refused_or_an_error_says_that_it_is_too_large(sizes, length):
    # The way back takes what the way there does.
    sizes |= {(right, left): 10**6 for left, right in LINKS}
    estate = connected(sizes)
    try:
        estate.submit(large_job(length))
    except RefusedError as error:
        assert "too large" in str(error)
        return
    estate.flow(12)
    assert estate.nodes["shared"].running or "too large" in estate.told[large_job().id].result_text


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LINKS), st.integers(MIN_SIZE, 4_000), st.integers(0, 8_000), st.integers(0, 4))
def test_a_peer_that_reconnects_with_a_smaller_limit_gets_the_error(link, limit, length, rounds):
    before, after = link
    estate = connected({})
    estate.submit(large_job())
    estate.flow(6)
    estate.cut(before, after)
    estate.finish("shared", "x" * length)
    estate.flow(rounds)
    estate.sizes[after, before] = limit
    estate.connect(before, after)
    estate.flow(8)
    told = estate.told[large_job().id]
    assert told.status is Status.COMPLETE or f"more than {before}@default accepts" in told.result_text
    assert (told.status is Status.ERROR) == (length > limit) or abs(length - limit) < 1_000


@pytest.mark.parametrize("link", LINKS)
def test_a_job_that_waits_for_a_peer_ends_when_the_peer_comes_with_too_small_a_limit(link):
    estate = connected({})
    estate.cut(*link)
    estate.submit(large_job(5_000))
    estate.flow(6)
    estate.sizes[link] = 3_000
    estate.connect(*link)
    estate.flow(8)
    told = estate.told[large_job().id]
    assert told.status is Status.ERROR
    assert f"more than {link[1]}@default accepts" in told.result_text
    assert not estate.nodes["shared"].running


def test_progress_that_is_too_large_is_left_out_and_the_job_goes_on():
    estate = connected({("shared", "notebook"): 3_000})
    estate.submit(large_job())
    estate.flow(6)
    estate.progress("shared", "x" * 5_000)
    estate.flow(6)
    assert any("too large" in reason for reason in estate.nodes["shared"].refusals)
    estate.finish("shared", "done")
    estate.flow(6)
    assert estate.told[large_job().id].result() == "done"


def test_a_command_too_large_for_the_way_back_ends_where_it_is_and_is_not_tried_for_ever():
    estate = connected({})
    estate.submit(large_job(5_000))
    estate.flow(6)
    estate.cut("waldur", "brics")
    estate.finish("shared", "done")
    estate.flow(6)
    estate.sizes["brics", "waldur"] = 3_000
    for _ in range(3):
        estate.connect("waldur", "brics")
        estate.flow(3)
        estate.cut("waldur", "brics")
    ended = estate.nodes["brics"].exchange.find(Peer("waldur"), large_job().id)
    assert ended.is_finished
    assert ended.version < 5_000
