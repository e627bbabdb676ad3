"""Both sides of the handshake, with each other and with every release."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import FrameError, HandshakeError
from paddington.limits import Limits
from paddington.peer import Peer
from paddington.protocol.crypto import Key
from paddington.protocol.envelope import open_frame
from paddington.protocol.handshake import (
    ClientHandshake,
    Established,
    Identified,
    LocalService,
    Polled,
    Send,
    ServerHandshake,
    Standing,
)
from paddington.protocol.jsontext import parse
from tests.paddington.wire import (
    GENERATIONS,
    NOW,
    VECTORS,
    Entry,
    ScriptedPeer,
    begin,
    call,
    dial,
    establish,
    frame_of,
    greet,
    pair,
)

V = VECTORS["handshake"]


def portal() -> LocalService:
    return LocalService.create("portal")


def cluster() -> LocalService:
    return LocalService.create("cluster")


def _random_with(*given_32: str) -> Callable[[int], bytes]:
    """A source that gives these values for the first draws of 32 bytes after the service's own mark."""
    waiting = [os.urandom(32), *map(bytes.fromhex, given_32)]

    def draw(size: int) -> bytes:
        return waiting.pop(0) if size == 32 and waiting else os.urandom(size)

    return draw


def test_our_server_follows_the_published_exchange() -> None:
    service = LocalService.create("portal", random=_random_with(V["session_inner_key"]))
    entry = Entry("cluster", inner_key=Key.from_hex(V["inner_key"]), outer_key=Key.from_hex(V["outer_key"]))
    headers = [(name.encode(), value.encode()) for name, value in V["headers"].items()]
    frames = [frame["frame"] for frame in V["frames"]]

    server = ServerHandshake(service, [entry], headers, unix_seconds=NOW)
    assert isinstance(server.receive(frames[0]), Send)
    identified = server.receive(frames[2])
    assert isinstance(identified, Identified)
    assert identified.peer == Peer("cluster")
    assert (identified.info.engine, identified.info.version) == ("paddington", "0.32.2")
    assert server.answer(client_is_secondary=True).established is None
    assert server.receive(frames[4]) == Polled()
    established = server.answer().established
    assert established is not None
    assert established.session.open(frames[6]) == "KEEPALIVE"
    assert established.session.open(frames[8]) == V["frames"][8]["value"]


def test_our_client_follows_the_published_exchange() -> None:
    service = LocalService.create(
        "cluster", random=_random_with(V["inner_salt"], V["outer_salt"], V["session_outer_key"])
    )
    entry = Entry("portal", inner_key=Key.from_hex(V["inner_key"]), outer_key=Key.from_hex(V["outer_key"]))
    frames = [frame["frame"] for frame in V["frames"]]

    client = ClientHandshake(service, entry, unix_seconds=NOW)
    assert dict(client.headers()) == {name.encode(): value.encode() for name, value in V["headers"].items()}
    client.first_frame()
    assert isinstance(client.receive(frames[1]), Send)
    assert client.receive(frames[3]) == Standing(client_is_secondary=True, server_is_secondary=False)
    client.poll()
    established = client.receive(frames[5])
    assert isinstance(established, Established)
    assert established.peer == Peer("portal")
    assert established.session.open(frames[7]) == V["frames"][7]["value"]


@pytest.mark.parametrize("plain", [False, True])
def test_two_of_ours_agree_on_everything(plain: bool) -> None:
    here, there = cluster(), portal()
    two = pair(here, there, Entry("cluster", "zone<>"), plain=plain)
    dialled, listened = establish(two)
    assert (dialled.peer, listened.peer) == (Peer("portal", "zone<>"), Peer("cluster", "zone<>"))
    assert (dialled.info.epoch, listened.info.epoch) == (there.epoch, here.epoch)
    assert dialled.info.supports_nonce
    assert not dialled.info.downgraded
    assert listened.session.open(dialled.session.seal("up")) == "up"
    assert dialled.session.open(listened.session.seal("down")) == "down"


def test_salts_travel_masked_unless_the_entry_says_plain() -> None:
    entry = Entry("portal")
    masked = ClientHandshake(cluster(), entry, unix_seconds=NOW).headers()
    assert [name for name, _ in masked] == [b"openportal-inner-salt", b"openportal-outer-salt"]
    plain = ClientHandshake(cluster(), Entry("portal", plain_salts=True), unix_seconds=NOW).headers()
    assert plain[2:] == [(b"openportal-salt-format", b"plain")]


def test_what_we_send_has_every_field_of_every_release() -> None:
    server = ScriptedPeer(Entry("portal"))
    service = cluster()
    client = ClientHandshake(service, server.entry, unix_seconds=NOW)
    client = dial(service, server)
    action = client.receive(
        frame_of(server.answering, server.greeting(server.inner)),
    )
    assert isinstance(action, Send)
    details = parse(open_frame(server.session, action.frame)[0])
    assert details == {
        "name": "cluster",
        "zone": "default",
        "version": 2,
        "standby_status": {"server_is_secondary": False, "client_is_secondary": False},
        "supports_nonce": True,
        "nonce": int(NOW) + 1,
        "epoch": service.epoch,
    }


@pytest.mark.parametrize("release", GENERATIONS)
def test_a_server_of_any_release_can_be_dialled(release: str) -> None:
    in_greeting, in_details = GENERATIONS[release]
    server = ScriptedPeer(Entry("portal"))
    client = dial(cluster(), server)
    client.receive(frame_of(server.answering, server.greeting(server.inner, **in_greeting)))
    established = client.receive(frame_of(server.session, server.details(**in_details)))
    assert isinstance(established, Established)
    _speaks_as_its_release(established, server, numbers=bool(in_details.get("supports_nonce")))


@pytest.mark.parametrize("release", GENERATIONS)
def test_a_client_of_any_release_can_call(release: str) -> None:
    in_greeting, in_details = GENERATIONS[release]
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client, **in_greeting)
    identified = server.receive(frame_of(client.session, client.details(**in_details)))
    assert isinstance(identified, Identified)
    established = server.answer().established
    assert established is not None
    _speaks_as_its_release(established, client, numbers=bool(in_details.get("supports_nonce")))


def _speaks_as_its_release(ours: Established, theirs: ScriptedPeer, *, numbers: bool) -> None:
    assert ours.info.supports_nonce == ours.session.peer_numbers == numbers
    for number in range(2):
        frame = ours.session.seal("KEEPALIVE")
        assert isinstance(frame, str)
        expected = {"nonce": number, "payload": "KEEPALIVE"} if numbers else "KEEPALIVE"
        assert parse(open_frame(theirs.session, frame)[0]) == expected
    bare, numbered = frame_of(theirs.session, "a"), frame_of(theirs.session, {"nonce": 0, "payload": "b"})
    assert ours.session.open(numbered) == "b"
    if numbers:
        with pytest.raises(FrameError, match="no number"):
            ours.session.open(bare)
    else:
        assert ours.session.open(bare) == "a"


def test_the_limits_follow_the_peers_release() -> None:
    for release, limit in (("0.32", 2**24), ("0.91", 2**21)):
        in_greeting, in_details = GENERATIONS[release]
        client = ScriptedPeer(Entry("cluster"))
        server = call(portal(), client)
        begin(server, client, **in_greeting)
        server.receive(frame_of(client.session, client.details(**in_details)))
        established = server.answer().established
        assert established is not None
        assert established.session.receive_limit == limit
        assert established.session.send_limit == limit


@given(st.integers(1, 5))
def test_a_waiting_client_asks_until_it_is_primary(questions: int) -> None:
    two = pair(cluster(), portal(), Entry("cluster"))
    greet(two)
    for _ in range(questions):
        answer = two.server.answer(client_is_secondary=True)
        assert (answer.established, answer.closing) == (None, False)
        assert two.client.receive(answer.frame) == Standing(
            client_is_secondary=True, server_is_secondary=False
        )
        assert two.server.receive(two.client.poll()) == Polled()
    answer = two.server.answer()
    established = two.client.receive(answer.frame)
    assert isinstance(established, Established)
    assert answer.established is not None
    assert answer.established.session.open(established.session.seal("x")) == "x"


@pytest.mark.parametrize("waiting", [False, True])
def test_a_secondary_server_sends_the_client_away(waiting: bool) -> None:
    two = pair(cluster(), portal(), Entry("cluster"))
    greet(two)
    answer = two.server.answer(client_is_secondary=waiting, server_is_secondary=True)
    assert (answer.established, answer.closing) == (None, True)
    assert two.client.receive(answer.frame) == Standing(client_is_secondary=waiting, server_is_secondary=True)
    with pytest.raises(RuntimeError):
        two.client.poll()
    with pytest.raises(RuntimeError):
        two.server.answer()
    for side in (two.client, two.server):
        with pytest.raises(HandshakeError) as caught:
            side.receive(answer.frame)
        assert caught.value.reason == "out-of-turn"


def test_the_peer_is_found_among_many_candidates() -> None:
    entry = Entry("cluster")
    here = cluster()
    dialling = ClientHandshake(
        here, Entry("portal", "default", entry.inner_key, entry.outer_key), unix_seconds=NOW
    )
    others = [Entry(f"other{number}") for number in range(200)]
    server = ServerHandshake(portal(), [*others, entry], dialling.headers(), unix_seconds=NOW)
    assert server.peer is None
    server.receive(dialling.first_frame())
    assert server.peer == Peer("cluster")


def test_nobody_is_found_where_no_client_matches() -> None:
    entry = Entry("cluster")
    dialling = ClientHandshake(cluster(), Entry("portal"), unix_seconds=NOW)
    for candidates in ([], [entry], [entry] * 50):
        server = ServerHandshake(portal(), candidates, dialling.headers(), unix_seconds=NOW)
        with pytest.raises(HandshakeError) as caught:
            server.receive(ClientHandshake(cluster(), Entry("portal"), unix_seconds=NOW).first_frame())
        assert caught.value.reason == "not-opened"


def test_calls_of_ours_at_the_wrong_time_are_our_mistakes() -> None:
    two = pair(cluster(), portal(), Entry("cluster"))
    with pytest.raises(RuntimeError):
        two.client.poll()
    with pytest.raises(RuntimeError):
        two.server.answer()
    greet(two)
    with pytest.raises(RuntimeError):
        two.client.first_frame()
    answer = two.server.answer(client_is_secondary=True)
    with pytest.raises(RuntimeError):
        two.server.answer()
    two.client.receive(answer.frame)
    two.client.poll()
    with pytest.raises(RuntimeError):
        two.client.poll()


def test_a_broken_random_source_makes_no_connection() -> None:
    service = LocalService.create("cluster", random=bytes)
    with pytest.raises(RuntimeError, match="randomness"):
        ClientHandshake(service, Entry("portal"), unix_seconds=NOW)


def test_services_of_one_process_share_nothing() -> None:
    first, second = portal(), portal()
    assert first.epoch != second.epoch
    assert first.mark.of(bytes(16)) != second.mark.of(bytes(16))
    establish(pair(cluster(), first, Entry("cluster")))
    assert second.windows.allows(Peer("cluster"), second.stamp(Peer("cluster"), 0.0))


def test_a_service_shows_no_secret() -> None:
    assert repr(portal().mark) == "Mark(redacted)"
    assert "random" not in repr(portal())


def test_limits_reach_the_session() -> None:
    limits = Limits(frame_bytes=20_000, remembered_infos=7)
    two = pair(LocalService.create("cluster", limits=limits), portal(), Entry("cluster"))
    dialled, _ = establish(two)
    assert dialled.session.send_limit == dialled.session.receive_limit == 20_000
