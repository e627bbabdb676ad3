import inspect
import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import ConfigError
from paddington.limits import Limits

NAMES = [field.name for field in attrs.fields(Limits)]


def test_an_absent_table_gives_the_defaults() -> None:
    assert Limits.from_table({}) == Limits()
    assert Limits().to_table() == {}


def test_the_documented_defaults_of_the_protocol() -> None:
    limits = Limits()
    assert (limits.handshake_seconds, limits.watchdog_seconds, limits.keepalive_seconds) == (30, 300, 23)
    assert (limits.frame_bytes, limits.legacy_frame_bytes) == (2_097_152, 16_777_216)
    assert (limits.standby_waiters, limits.unauthenticated_connections) == (16, 2048)
    assert (limits.replay_window, limits.epochs) == (1024, 8)


def test_every_limit_is_documented() -> None:
    documented = re.findall(r"^ {4}(\w+): ", inspect.getdoc(Limits) or "", re.MULTILINE)
    assert documented == NAMES


@given(
    st.fixed_dictionaries(
        {}, optional={name: st.integers(20_000, 10**6) for name in NAMES if name != "dial_jitter"}
    )
)
def test_a_table_comes_back_as_it_was_given(table: dict[str, int]) -> None:
    if table.get("dial_first_seconds", 0) > table.get("dial_longest_seconds", 30):
        table["dial_longest_seconds"] = table["dial_first_seconds"]
    limits = Limits.from_table(table)
    assert Limits.from_table(limits.to_table()) == limits
    assert all(getattr(limits, name) == value for name, value in table.items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [True, "5", None, -1, float("nan"), float("inf"), [1]])
def test_a_value_that_a_limit_cannot_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError):
        Limits.from_table({name: value})


def test_an_unknown_limit_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ConfigError, match=r'no limit "frame_byte".*frame_bytes'):
        Limits.from_table({"frame_byte": 1})


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="dial_longest_seconds"):
        Limits(dial_first_seconds=10, dial_longest_seconds=5)
    with pytest.raises(ConfigError, match="dial_jitter"):
        Limits(dial_jitter=1.5)


def test_a_whole_number_of_seconds_is_a_time() -> None:
    assert Limits.from_table({"dial_seconds": 3}).dial_seconds == 3.0
