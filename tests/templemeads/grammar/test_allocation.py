"""What awards give."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Allocation, Node, Usage
from templemeads.grammar.allocation import UNITS
from templemeads.testing.strategies import nodes

sizes = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(size=sizes)
def test_the_number_is_the_shortest_without_exponent(size: float) -> None:
    number, unit = str(Allocation(size, "NHR")).split(" ")

    assert unit == "NHR"
    assert float(number) == size
    assert set(number) <= set("-0123456789.")
    assert not number.endswith(".0")


@pytest.mark.parametrize("text", ["1000 NHR", "1e3\tNode  Hours", "+1000. nhr", " 1000.0 node hour "])
def test_one_thing_can_be_written_in_many_ways(text: str) -> None:
    assert Allocation.parse(text) == Allocation(1000, "NHR")


@pytest.mark.parametrize(
    "text",
    [
        "1_000 NHR",
        "1,5 NHR",
        "1e400 NHR",
        "nan NHR",
        "inf NHR",
        "\u0661 NHR",
        "5",
        "NHR",
        "-1 NHR",
        "5 \ud800",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Allocation.parse(text)


@pytest.mark.parametrize("size", [-1.0, math.inf, math.nan])
def test_building_from_parts_checks_like_reading(size: float) -> None:
    with pytest.raises(ParseError):
        Allocation(size, "NHR")


@pytest.mark.parametrize(("size", "units"), [(1.0, None), (None, "NHR")])
def test_an_allocation_has_both_parts_or_neither(size: float | None, units: str | None) -> None:
    with pytest.raises(TypeError):
        Allocation(size, units)


def test_units_are_written_in_one_way() -> None:
    assert Allocation(5, "Gpu  Hours") == Allocation(5, "GPUHR")
    assert Allocation(5, "Fancy Units").units == "fancy units"
    assert Allocation(5, "\u00c9").units == "\u00e9"


def test_nothing_is_an_allocation_too() -> None:
    assert Allocation.parse(" No Allocation ") == Allocation.parse("NONE") == Allocation()
    assert Allocation().is_empty
    assert str(Allocation()) == "No allocation"


NODE = Node(cpus=2, cores_per_cpu=64, gpus=4, memory_mb=262144, billing=7)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("10 NHR", 10), ("256 COREHR", 2), ("256 CPUHR", 2), ("8 GPUHR", 2), ("512 GBHR", 2), ("14 BHR", 2)],
)
def test_an_allocation_is_worth_time_of_a_node(text: str, hours: float) -> None:
    allocation = Allocation.parse(text)

    assert allocation.node_time(NODE) == Usage.of(hours=hours)
    assert allocation.time("GPUHR", NODE) == Usage.of(hours=hours * 4)


@pytest.mark.parametrize("text", ["5 bananas", "none"])
def test_other_units_are_worth_no_time(text: str) -> None:
    with pytest.raises(ParseError):
        Allocation.parse(text).node_time(NODE)


def test_a_node_without_gpus_is_worth_no_time_of_gpus() -> None:
    node = Node(cpus=1, cores_per_cpu=1, gpus=0, memory_mb=1024, billing=1)

    with pytest.raises(ParseError):
        Allocation(5, "GPUHR").node_time(node)
    with pytest.raises(ParseError):
        Allocation.of_time(Usage(3600), "GPUHR", node)
    with pytest.raises(ParseError):
        Allocation.of_time(Usage(3600), "bananas", node)


@given(node=nodes(), hours=st.integers(0, 10**6), units=st.sampled_from(UNITS))
def test_time_becomes_an_allocation(node: Node, hours: int, units: str) -> None:
    try:
        allocation = Allocation.of_time(Usage.of(hours=hours), units, node)
    except ParseError:
        return
    assert allocation.units == ("BHR" if units == "BHR" else "NHR")
    assert allocation.size is not None
    assert allocation.size <= max(hours, 0) or units == "GBHR"
