import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Peer
from templemeads import AgentType, RefusedError
from templemeads.operations.paths import MAX_PATH_CHARACTERS, Here, Onward, follow, may_ask

PEERS = [
    Peer("provider"),
    Peer("cluster", "internal"),
    Peer("cluster", "external"),
    Peer("slurm", "internal"),
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", Here()),
        ("me", Here()),
        ("me@anywhere", Here()),
        ("provider", Onward(Peer("provider"), "", "provider")),
        ("provider.cluster@z.slurm", Onward(Peer("provider"), "cluster@z.slurm", "slurm")),
        ("cluster@external.slurm@internal", Onward(Peer("cluster", "external"), "slurm@internal", "slurm")),
    ],
)
def test_a_path_begins_here_or_with_a_peer(path, expected):
    assert follow(path, "me", is_leaf=False, peers=PEERS) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("stranger", "knows no peer"),
        ("cluster", "several zones: use one of cluster@external, cluster@internal"),
        ("provider@elsewhere", "knows no peer"),
        ("provider..x", "not a name"),
        ("provider.x@", "not a name"),
        ("provider.@z", "not a name"),
        ("a@b@c", "not a name"),
        ("." * 3, "not a name"),
        ("x" * (MAX_PATH_CHARACTERS + 1), "longer than any network"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(path, why):
    with pytest.raises(RefusedError, match=why):
        follow(path, "me", is_leaf=False, peers=PEERS)


def test_a_leaf_is_the_end_of_every_path():
    assert follow("me", "me", is_leaf=True, peers=PEERS) == Here()
    with pytest.raises(RefusedError, match="passes nothing on"):
        follow("provider", "me", is_leaf=True, peers=PEERS)


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_a_path_or_refused(path, is_leaf):
    try:
        found = follow(path, "me", is_leaf=is_leaf, peers=PEERS)
    except RefusedError as error:
        assert str(error).isprintable()
    else:
        assert found == Here() or found.peer in PEERS


@given(st.sampled_from(AgentType), st.sampled_from(AgentType))
def test_of_two_different_types_at_most_one_may_ask_the_other_unless_they_stand_side_by_side(one, other):
    both = may_ask(one, other) and may_ask(other, one)
    leaves = one.is_leaf and other.is_leaf
    assert both == ((one is other and one is not AgentType.PORTAL) or leaves)


def test_portals_tell_portals_nothing_and_leaves_ask_nobody_above():
    assert not may_ask(AgentType.PORTAL, AgentType.PORTAL)
    assert may_ask(AgentType.BRIDGE, AgentType.PORTAL)
    assert may_ask(AgentType.PORTAL, AgentType.INSTANCE)
    assert not may_ask(AgentType.SCHEDULER, AgentType.INSTANCE)
    assert not may_ask(AgentType.INSTANCE, AgentType.PORTAL)
