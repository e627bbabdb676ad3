import pytest

from paddington import Peer
from templemeads import RefusedError
from templemeads.operations.restart import PassOn, RestartType, decide

PEERS = [Peer("provider"), Peer("cluster", "internal")]


def ask(destination, word="soft", *, from_peer=True, is_leaf=False):
    return decide(destination, word, "me", is_leaf=is_leaf, peers=PEERS, needs_destination=from_peer)


def test_an_empty_destination_is_this_agent_for_an_operator_and_refused_from_a_peer():
    assert ask("", from_peer=False) is RestartType.SOFT
    with pytest.raises(RefusedError, match="needs a destination"):
        ask("")


def test_ones_own_name_is_this_agent():
    assert ask("me", "hard") is RestartType.HARD
    assert ask("me", is_leaf=True) is RestartType.SOFT


def test_the_next_agent_is_told_its_own_name_since_newer_ones_refuse_an_empty_path():
    assert ask("provider") == PassOn(Peer("provider"), "provider")
    assert ask("provider.clusters.shared") == PassOn(Peer("provider"), "clusters.shared")
    assert ask("cluster@internal.slurm") == PassOn(Peer("cluster", "internal"), "slurm")


def test_the_type_is_looked_at_only_where_it_counts():
    assert ask("provider.x", "of the future") == PassOn(Peer("provider"), "x")
    with pytest.raises(RefusedError, match="soft or hard"):
        ask("me", "core")
    with pytest.raises(RefusedError, match="no restart type"):
        ask("provider.x", "x" * 41)


def test_a_leaf_passes_nothing_on():
    with pytest.raises(RefusedError, match="passes nothing on"):
        ask("provider", is_leaf=True)
