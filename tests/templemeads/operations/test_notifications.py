from hypothesis import given
from hypothesis import strategies as st

from templemeads import Destination
from templemeads.operations.notifications import Arrived, Dropped, Onward, decide, is_for_portal

NAMES = ["a", "b", "c", "d"]


def test_a_notification_goes_along_its_path_to_the_last_agent():
    path = Destination.parse("a.b.c")
    assert decide(path, "b", "a") == Onward("c")
    assert decide(path, "c", "b") == Arrived()
    assert decide(path, "c", "a") == Arrived()


def test_one_that_comes_back_is_dropped():
    found = decide(Destination.parse("a.b.c"), "a", "b")
    assert isinstance(found, Dropped)
    assert not found.is_astray


def test_one_that_names_the_sender_or_us_nowhere_is_astray():
    path = Destination.parse("a.b.c")
    assert decide(path, "x", "a").is_astray
    assert decide(path, "b", "x").is_astray


@given(
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)
def test_whatever_is_passed_on_comes_nearer_to_its_end(names, me, sender):
    match decide(Destination(names), me, sender):
        case Onward(name):
            assert names.index(sender) <= names.index(me) < names.index(name)
        case Arrived():
            assert names[-1] == me


def test_a_bridge_takes_what_ends_at_or_just_behind_its_portal():
    assert is_for_portal(Destination.parse("shared.brics"), {"brics"})
    assert is_for_portal(Destination.parse("a.brics.virtual"), {"brics"})
    assert not is_for_portal(Destination.parse("brics.a.b"), {"brics"})
    assert not is_for_portal(Destination.parse("a.b"), set())
