import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import ConfigError
from paddington.peer import Peer

names = st.text(st.characters(exclude_characters="@"), min_size=1)


@given(names, names)
def test_a_peer_parses_back_from_its_text(name: str, zone: str) -> None:
    assert Peer.parse(str(Peer(name, zone))) == Peer(name, zone)


def test_a_bare_name_is_in_the_default_zone() -> None:
    assert Peer.parse("portal") == Peer("portal") == Peer("portal", "default")


@pytest.mark.parametrize("text", ["", "@", "a@", "@b", "a@b@c"])
def test_half_a_peer_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="name@zone"):
        Peer.parse(text)
