"""What a proxy passes on, and what a letter is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Peer
from paddington.errors import ConfigError
from paddington.relay.letter import KIND, Letter
from paddington.relay.policy import Dropped, Forward, Pairs

PEERS = (Peer("a"), Peer("b", "east"), Peer("c"))


def letter(**changes):
    fields = {"kind": KIND, "from": "a", "to": "b", "zone": "default", "ciphertext": "00", **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not ...})


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=50))
def test_letters_are_read_as_written(sender, recipient, zone, sealed):
    written = Letter(sender, recipient, zone, sealed)
    assert Letter.read(written.to_text()) == written


@pytest.mark.parametrize(
    "text",
    [
        "KEEPALIVE",
        "[]",
        "",
        '{"Register": {}}',
        letter(extra=1),
        letter(kind="openportal-relay-v2"),
        letter(kind=...),
        letter(zone=...),
        letter(ciphertext=7),
        letter(to=None),
    ],
)
def test_only_the_exact_fields_make_a_letter(text):
    assert Letter.read(text) is None
    decision = Pairs.create([["a", "b"]], PEERS).decide(Peer("a"), text)
    assert isinstance(decision, Dropped)
    assert decision.reason == "relay-kind"


def test_a_pair_may_write_in_both_directions_in_the_zone_of_the_proxy_s_entry():
    pairs = Pairs.create([["a", "b"]], PEERS)
    assert pairs.decide(Peer("a"), letter(zone="elsewhere")) == Forward(Peer("b", "east"))
    assert pairs.decide(Peer("b", "east"), letter(**{"from": "b", "to": "a"})) == Forward(Peer("a"))


def test_nobody_writes_in_the_name_of_another():
    decision = Pairs.create([["a", "b"]], PEERS).decide(Peer("c"), letter())
    assert decision.reason == "relay-sender"


@pytest.mark.parametrize("to", ["c", "a", "nobody", ""])
def test_only_pairs_may_write(to):
    assert Pairs.create([["a", "b"]], PEERS).decide(Peer("a"), letter(to=to)).reason == "relay-pair"


@pytest.mark.parametrize("pair", [["a"], ["a", "a"], ["a", "b", "c"], ["a", "nobody"]])
def test_wrong_pairs_are_refused(pair):
    with pytest.raises(ConfigError):
        Pairs.create([pair], PEERS)


def test_a_name_in_two_zones_is_refused():
    with pytest.raises(ConfigError, match="several zones"):
        Pairs.create([["a", "b"]], (*PEERS, Peer("b")))
