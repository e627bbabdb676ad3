"""Thousands of scripted disasters, played by real agents on a mock clock.

The ordinary run plays the same scripts each time. `make soak` draws new ones for as long as it is told to.
"""

import faulthandler
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .scripts import KINDS, OFTEN, RARELY, SELDOM, Script, scripts

ORDERS = st.random_module()
"""The order in which tasks take their steps follows Python's random numbers, which Hypothesis draws."""

CLOCKS = st.tuples(st.integers(0, 3), st.sampled_from([-3600.0, -600.0, -30.0, 30.0, 600.0, 3600.0]))

USUAL = (*OFTEN, *OFTEN, *SELDOM)


def runs(most: int) -> settings:
    """Settings for so many scripts of the ordinary run."""
    return settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@runs(1200)
@given(script=scripts(kinds=USUAL), orders=ORDERS)
def test_no_job_is_lost_or_answered_twice_whatever_breaks(script: Script, orders: object):
    script.run()


@runs(300)
@given(script=scripts(kinds=(*USUAL, *RARELY, *RARELY)), orders=ORDERS)
def test_agents_that_come_back_with_an_empty_or_old_disk_are_told_what_they_forgot(
    script: Script, orders: object
):
    script.run()


@runs(300)
@given(script=scripts(kinds=USUAL, lifetime=st.sampled_from([5.0, 20.0, 60.0])), orders=ORDERS)
def test_jobs_that_run_out_of_time_end_with_that_error_and_stay_so(script: Script, orders: object):
    script.run()


@runs(300)
@given(script=scripts(kinds=USUAL, late=CLOCKS), orders=ORDERS)
def test_a_clock_that_is_wrong_loses_no_job(script: Script, orders: object):
    script.run()


@runs(300)
@given(script=scripts(kinds=(*USUAL, "soft restart", "soft restart", "repeat", "repeat")), orders=ORDERS)
def test_agents_that_begin_afresh_end_jobs_once_and_for_all(script: Script, orders: object):
    script.run()


DELETIONS = ("put", "put", "put elsewhere", "delete", "delete", "put again", "cut", "repeat")


@runs(200)
@given(script=scripts(most=60, kinds=DELETIONS), orders=ORDERS)
def test_deleted_jobs_stop_and_stay_deleted(script: Script, orders: object):
    script.run()


@runs(60)
@given(script=scripts(most=15, kinds=USUAL, handshakes=True), orders=ORDERS)
def test_the_same_holds_over_the_lines_of_paddington(script: Script, orders: object):
    script.run()


ANYTHING = st.one_of(
    scripts(most=60, kinds=KINDS, late=st.one_of(st.just((0, 0.0)), CLOCKS)),
    scripts(most=200, kinds=USUAL),
    scripts(most=60, kinds=KINDS, lifetime=st.sampled_from([5.0, 20.0, 60.0])),
    scripts(most=40, kinds=KINDS, handshakes=True),
)


@pytest.mark.soak
def test_nothing_is_lost_in_hours(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]):
    if "soak" not in request.config.option.markexpr:
        pytest.skip("takes hours: SOAK_SECONDS=3600 make soak")
    # A dump of the stack after two minutes helps nobody here, and can end the process while its threads run on.
    faulthandler.cancel_dump_traceback_later()
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    began, played = time.monotonic(), 0

    @settings(
        max_examples=500,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(script=ANYTHING, orders=ORDERS)
    def play(script: Script, orders: object) -> None:
        nonlocal played
        script.run()
        played += 1

    while time.monotonic() - began < seconds:
        play()
    with capsys.disabled():
        print(f"\n{played} scripts in {time.monotonic() - began:.0f} s")
