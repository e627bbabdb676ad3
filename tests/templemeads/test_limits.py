"""Numbers that no limit can be are refused with one line that names the limit."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paddington
from paddington import ConfigError
from templemeads import Limits, ParseError
from templemeads.config_check import check_config

FIELDS = [(cls, field) for cls in (Limits, paddington.Limits) for field in attrs.fields(cls)]
OUT_OF_RANGE = (
    math.nan,
    math.inf,
    -math.inf,
    -1,
    -0.5,
    1e17,
    1e308,
    10**17,
    10**400,
    10**5_000,
    -(10**5_000),
)
OTHER = st.one_of(st.booleans(), st.text(), st.none(), st.lists(st.integers()), st.binary())
CONFIG = """agent = "Portal"

[limits]
{ours}

[service]
name = "portal"
url = "ws://localhost:6501/"
ip = "127.0.0.1"
port = 6501
servers = []
clients = []

[service.limits]
{theirs}
"""


@given(st.sampled_from(FIELDS), st.sampled_from(OUT_OF_RANGE) | OTHER)
def test_a_limit_that_is_no_number_in_range_is_refused_with_one_short_line(field: Any, value: object) -> None:
    cls, attribute = field
    with pytest.raises((ParseError, ConfigError)) as caught:
        cls(**{attribute.name: value})
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300


@given(st.sampled_from(FIELDS), st.floats(width=64) | st.integers())
def test_any_number_is_accepted_or_refused_by_the_name_of_its_limit(field: Any, value: float) -> None:
    cls, attribute = field
    try:
        limits = cls(**{attribute.name: value})
    except (ParseError, ConfigError) as error:
        assert attribute.name in str(error) or "frame" in str(error)
    else:
        assert getattr(limits, attribute.name) == value


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "-0.5", "1e400", "1" + "0" * 400])
@pytest.mark.parametrize("table", ["ours", "theirs"])
def test_config_check_tells_the_line_of_such_a_limit(table: str, value: str) -> None:
    lines = {"ours": "", "theirs": ""}
    lines[table] = ("shutdown_seconds = " if table == "ours" else "close_seconds = ") + value
    (problem,) = check_config(CONFIG.format(**lines))
    assert problem.is_error
    assert problem.line in {3, 4, 6, 13, 14, 15}
    assert "_seconds" in problem.text
