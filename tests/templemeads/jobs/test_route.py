import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads import Destination, RefusedError
from templemeads.jobs.route import Flow, Place, place_of, require_from_after, require_from_before

NAMES = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6)


@given(NAMES, st.sampled_from("abcdefg"))
def test_a_place_is_that_of_the_first_occurrence_of_a_name(names, me):
    place = place_of(me, Destination(tuple(names)))
    if me not in names:
        assert place is None
        return
    index = names.index(me)
    assert place is not None
    assert place.is_first == (index == 0)
    assert place.is_last == (index == len(names) - 1)
    assert place.before == (names[index - 1] if index else None)


@given(NAMES, st.sampled_from("abcdefg"), st.sampled_from("abcdefg"))
def test_only_immediate_neighbours_are_accepted_and_each_for_one_direction(names, me, sender):
    destination = Destination(tuple(names))
    for check, step in ((require_from_before, -1), (require_from_after, 1)):
        index = names.index(me) + step if me in names else -1
        neighbour = names[index] if 0 <= index < len(names) else None
        try:
            place = check(me, sender, destination)
        except RefusedError as error:
            repeated = len(set(names)) < len(names)
            assert neighbour != sender or repeated
            assert "errored position" in str(error) or repeated
        else:
            assert neighbour == sender
            assert place.flow_to(sender) is (Flow.UPSTREAM if step < 0 else Flow.DOWNSTREAM)


def test_the_flow_of_a_job_follows_the_path():
    place = place_of("b", Destination(("a", "b", "c")))
    assert place == Place("a", "c")
    assert place.flow_to("c") is Flow.DOWNSTREAM
    assert place.flow_to("a") is Flow.UPSTREAM
    assert place.flow_to("x") is None


def test_a_refusal_keeps_foreign_text_short_and_harmless():
    with pytest.raises(RefusedError) as caught:
        require_from_before("me", "\x1b[31m" + "x" * 1000, Destination(("a\x07" * 500, "me")))
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
