from hypothesis import given
from hypothesis import strategies as st

from paddington.protocol.capabilities import Side, agreed, framings, offer
from tests.paddington.wire import json_values

sides = st.sampled_from(["client", "server"])


@given(json_values, sides)
def test_rubbish_in_the_field_offers_nothing(field: object, side: Side) -> None:
    assert framings(field, side) == ()


def test_a_peer_offers_what_it_lists() -> None:
    assert framings({"side": "server", "framings": ["dense", 5, "other"], "more": 1}, "server") == (
        "dense",
        "other",
    )


def test_an_echo_of_our_own_field_is_no_offer() -> None:
    echo = offer("client", ["dense"])
    assert framings(echo, "client") == ("dense",)
    assert framings(echo, "server") == ()


def test_an_endless_list_is_cut() -> None:
    assert len(framings({"side": "client", "framings": ["x"] * 1000}, "client")) == 16


@given(st.lists(st.text(max_size=2)), st.lists(st.text(max_size=2)))
def test_only_what_both_have_is_agreed_and_the_client_chooses(client: list[str], server: list[str]) -> None:
    chosen = agreed(client, server)
    both = [name for name in client if name in server]
    assert chosen == (both[0] if both else None)
