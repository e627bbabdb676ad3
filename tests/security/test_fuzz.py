"""The targets of the fuzzer, on their seeds, on what once went wrong, and on what lies around both."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS

BYTES = [
    b"",
    b"\x00",
    b"\xff",
    b'"',
    b"\\ud800",
    b"[" * 200,
    b"9" * 400,
    b"-1",
    b"1e999",
    b"null",
    b".",
    b" ",
    b"\xed\xa0\x80",
]


@st.composite
def around(draw, seeds):
    """A seed with pieces of itself, of another one, or of what often hurts, put in, doubled, or left out."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 40)))
        other = draw(st.sampled_from(seeds))
        cut = draw(st.integers(0, len(other)))
        piece = draw(st.sampled_from(BYTES) | st.binary(max_size=6) | st.just(other[cut : cut + 60]))
        data = data[:begin] + piece + data[end:]
    return data


@pytest.mark.case("P75")
@pytest.mark.parametrize("target", TARGETS)
def test_only_documented_errors_come_out_of_seeds_and_what_lies_around_them(target):
    seeds = seeds_of(target)
    for seed in seeds:
        TARGETS[target](seed)

    @settings(max_examples=150, deadline=None)
    @given(around(seeds))
    def fuzz(data):
        TARGETS[target](data)

    fuzz()
