"""Paths of agents, and lists of them."""

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError, RefusedError
from templemeads.grammar import Destination, Destinations, Position
from templemeads.grammar.destinations import MAX_CACHED_PATH_CHARACTERS, MAX_CACHED_PATHS
from templemeads.grammar.whitespace import WS
from templemeads.testing.strategies import destination_lists, destinations


@given(text=st.text(st.sampled_from("ab./:[]\x00é \t"), max_size=8))
def test_empty_names_are_dropped_and_two_must_remain(text: str) -> None:
    names = [name for name in text.split(".") if name]

    if len(names) >= 2 and not set(text) & set(WS):
        path = Destination.parse(text)
        assert list(path) == names
        assert Destination(names) == path
        assert str(path) == ".".join(names)
    else:
        with pytest.raises(ParseError):
            Destination.parse(text)


@pytest.mark.parametrize(
    "agents", [(), ("a",), ("a", ""), ("a", "b.c"), ("a", "b c"), ("a", "\ud800")], ids=repr
)
def test_names_that_cannot_be_read_back_are_refused(agents: tuple[str, ...]) -> None:
    with pytest.raises(ParseError):
        Destination(agents)


def test_a_text_is_not_mistaken_for_a_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"Destination\.parse"):
        Destination("a.b")
    with pytest.raises(TypeError, match=r"Destinations\.parse"):
        Destinations("a.b")  # type: ignore[arg-type]


def test_a_path_that_comes_again_takes_no_more_memory() -> None:
    first = Destination.parse("a.b.c")

    assert Destination.parse("a.b.c") is first
    assert Destination.parse("a..b.c.") == first


@pytest.mark.slow
@pytest.mark.parametrize("length", [MAX_CACHED_PATH_CHARACTERS, MAX_CACHED_PATH_CHARACTERS + 1])
def test_what_strangers_write_is_not_kept(length: int) -> None:
    def read(strangers: str) -> None:
        for number in range(10 * MAX_CACHED_PATHS):
            text = f"{strangers}{number}"
            Destination.parse("b." * ((length - len(text)) // 2) + text.rjust(length % 2 + len(text), "c"))

    read("x.a")
    gc.collect()
    tracemalloc.start()
    read("y.a")
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # The worst path is names of one character: 128 references of 8 bytes, and the text twice.
    assert kept < MAX_CACHED_PATHS * MAX_CACHED_PATH_CHARACTERS * 8


@pytest.mark.parametrize(
    ("text", "position"), [(" a.b", 0), ("a.b ", 3), ("a.b\u3000c", 3), ("a", 1), ("", 0)]
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        Destination.parse(text)

    assert caught.value.position == position


@given(path=destinations())
def test_the_ends_of_a_path(path: Destination) -> None:
    assert (path.first, path.second, path.last) == (path.agents[0], path.agents[1], path.agents[-1])
    assert path.reverse().reverse() == path
    assert path.reverse().first == path.last
    assert path.previous(path.first) is None


@given(path=destinations(), other=st.text(max_size=3))
def test_neighbours_are_those_of_the_first_place(path: Destination, other: str) -> None:
    for agent in (*path, other):
        if agent not in path:
            assert path.next(agent) is None
            assert path.previous(agent) is None
            continue
        place = path.agents.index(agent)
        assert path.next(agent) == (path.agents[place + 1] if place + 1 < len(path) else None)
        assert path.previous(agent) == (path.agents[place - 1] if place else None)


@pytest.mark.parametrize(
    ("agent", "sender", "position"),
    [
        ("c", "b", Position.DESTINATION),
        ("c", "a", Position.DESTINATION),
        ("c", "c", Position.DESTINATION),
        ("b", "a", Position.DOWNSTREAM),
        ("a", "b", Position.UPSTREAM),
        ("b", "c", Position.UPSTREAM),
    ],
)
def test_where_an_agent_stands(agent: str, sender: str, position: Position) -> None:
    assert Destination.parse("a.b.c").position(agent, sender) is position


@pytest.mark.parametrize(("agent", "sender"), [("c", "x"), ("a", ""), ("x", "a"), ("b", "b")])
def test_strangers_stand_nowhere(agent: str, sender: str) -> None:
    with pytest.raises(RefusedError):
        Destination.parse("a.b.c").position(agent, sender)


@given(paths=st.lists(destinations(), max_size=4))
def test_a_list_is_read_without_repetitions(paths: list[Destination]) -> None:
    text = ",".join(map(str, paths))

    if not set(text) & set("[],"):
        assert list(Destinations.parse(f" [ {text} ] ")) == list(dict.fromkeys(paths))


@given(paths=st.lists(destinations(), max_size=4))
def test_json_keeps_repetitions(paths: list[Destination]) -> None:
    value = Destinations.from_json([str(path) for path in paths])

    assert list(value) == paths
    assert value.to_json() == [str(path) for path in paths]


@given(first=destination_lists(), second=destination_lists())
def test_adding_and_removing(first: Destinations, second: Destinations) -> None:
    both = first.add(second)

    assert list(both)[: len(first)] == list(first)
    assert set(both) == set(first) | set(second)
    assert set(both.remove(second)) == set(first) - set(second)


def test_removing_takes_the_first_of_equal_entries() -> None:
    a, b = Destination.parse("a.x"), Destination.parse("b.x")

    assert Destinations([a, b, a]).remove(Destinations([a])) == Destinations([b, a])


def test_an_error_in_a_list_knows_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        Destinations.parse("[a.b, c d.e]")

    assert caught.value.position == 7
