"""The dense framing: what it carries, what it refuses, and who speaks it."""

import json
import struct
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import BytesMessage

from paddington import ConfigError, Limits, Received, ServiceConfig, open_service
from paddington.errors import FrameError, PayloadError, PayloadTooLargeError
from paddington.protocol.capabilities import FRAMINGS
from paddington.protocol.crypto import Key, Salt, seal_raw
from paddington.protocol.dense import (
    MAX_PAYLOADS_PER_FRAME,
    NAME,
    TARGET_FRAME_BYTES,
    DenseKeys,
    DenseSession,
)
from paddington.protocol.handshake import Established, Identified, LocalService
from paddington.protocol.session import Session
from paddington.testing import MemoryNetwork
from tests.paddington.services import CLUSTER, PORTAL, RawClient, connected, handshake_of, introduce
from tests.paddington.wire import Entry, ScriptedPeer, begin, call, establish, frame_of, pair

VECTORS = json.loads(Path(__file__, "..", "..", "..", "data", "dense_vectors.json").resolve().read_text())

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@attrs.define
class Two:
    """Both sides of one connection, and the keys of the side that dials."""

    keys: DenseKeys
    client: DenseSession
    server: DenseSession


def two_sides(limits: Limits | None = None) -> Two:
    limits = limits or Limits()
    secret = (Key.generate(), Key.generate(), Salt.generate(), Salt.generate())
    client, server = (DenseKeys.derive(*secret, dialled=dialled) for dialled in (True, False))
    return Two(client, DenseSession(client, limits=limits), DenseSession(server, limits=limits))


def frames_of(session: DenseSession, payloads: list[str]) -> list[bytes]:
    frames = []
    while payloads:
        frame, sealed = session.seal_some(payloads)
        assert isinstance(frame, bytes)
        assert sealed >= 1
        frames.append(frame)
        payloads = payloads[sealed:]
    return frames


def refused(session: DenseSession, frame: object) -> str:
    with pytest.raises(FrameError) as caught:
        session.open_some(frame)  # type: ignore[arg-type]
    return caught.value.reason


def body_of(*payloads: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads)


def frame_with(keys: DenseKeys, number: int, body: bytes) -> bytes:
    """A frame that holds what an authentic but faulty peer may put into it."""
    return seal_raw(keys.to_peer, body, bytes(16) + number.to_bytes(8, "big"))[16:]


# --- what it carries --------------------------------------------------------------------------------------


@given(st.lists(st.lists(texts, min_size=1, max_size=8), max_size=6))
def test_whatever_is_sealed_opens_at_the_other_side_in_order(batches: list[list[str]]) -> None:
    two = two_sides()
    for sender, receiver in ((two.client, two.server), (two.server, two.client)):
        for batch in batches:
            opened = [text for frame in frames_of(sender, batch) for text in receiver.open_some(frame)]
            assert opened == batch
        assert not receiver.must_renew


def test_many_payloads_share_a_frame_and_its_cost() -> None:
    two = two_sides()
    (frame,) = frames_of(two.client, ["x" * 300] * 32)
    assert len(frame) == 32 * 304 + 24


def test_a_frame_is_full_at_some_size_and_a_larger_payload_travels_alone() -> None:
    two = two_sides()
    large, small = "x" * (TARGET_FRAME_BYTES + 5), "y" * 100
    frames = frames_of(two.client, [small, large, small, small])
    assert [len(two.server.open_some(frame)) for frame in frames] == [1, 1, 2]


def test_a_frame_takes_no_more_payloads_than_are_read() -> None:
    two = two_sides()
    first, second = frames_of(two.client, [""] * (MAX_PAYLOADS_PER_FRAME + 1))
    assert len(two.server.open_some(first)) == MAX_PAYLOADS_PER_FRAME
    assert len(two.server.open_some(second)) == 1


def test_the_largest_payload_fits_exactly() -> None:
    limits = Limits(dense_frame_bytes=20_000)
    two = two_sides(limits)
    text = "é" * ((two.client.largest_payload - 4) // 2)
    assert two.client.payload_size(text) == two.client.largest_payload
    assert two.client.fits(text)
    assert not two.client.fits(text + "x")
    with pytest.raises(PayloadTooLargeError) as caught:
        two.client.seal_some([text + "x"])
    assert caught.value.size == caught.value.limit + 1
    (frame,) = frames_of(two.client, [text])
    assert len(frame) == 20_000
    assert two.server.open_some(frame) == [text]


def test_text_without_utf_8_form_uses_no_number_and_holds_up_nothing() -> None:
    two = two_sides()
    frame, sealed = two.client.seal_some(["good", "bad \ud800", "good"])
    assert sealed == 1
    for call_ in (two.client.payload_size, two.client.fits, lambda text: two.client.seal_some([text])):
        with pytest.raises(PayloadError):
            call_("bad \ud800")
    (second,) = frames_of(two.client, ["next"])
    assert [*two.server.open_some(frame), *two.server.open_some(second)] == ["good", "next"]


def test_the_published_vectors_are_ours() -> None:
    keys = VECTORS["keys"]
    secret = (
        Key.from_hex(keys["inner_key"]),
        Key.from_hex(keys["outer_key"]),
        Salt.from_hex(keys["inner_salt"]),
        Salt.from_hex(keys["outer_salt"]),
    )
    client, server = (DenseKeys.derive(*secret, dialled=dialled) for dialled in (True, False))
    assert client.to_peer.hex() == server.from_peer.hex() == keys["from_client"]
    assert server.to_peer.hex() == client.from_peer.hex() == keys["from_server"]
    sides = {
        "client": (DenseSession(client, limits=Limits()), DenseSession(server, limits=Limits())),
        "server": (DenseSession(server, limits=Limits()), DenseSession(client, limits=Limits())),
    }
    for vector in VECTORS["frames"]:
        sender, receiver = sides[vector["from"]]
        assert [frame.hex() for frame in frames_of(sender, vector["payloads"])] == [vector["frame"]]
        assert receiver.open_some(bytes.fromhex(vector["frame"])) == vector["payloads"]
    for vector in VECTORS["refused"]:
        receiver = DenseSession(server, limits=Limits())
        assert refused(receiver, bytes.fromhex(vector["frame"])) == vector["reason"]


# --- what it refuses --------------------------------------------------------------------------------------


@given(st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=6), st.data())
def test_whoever_repeats_drops_and_reorders_frames_changes_nothing_that_arrives(
    batches: list[list[str]], data: st.DataObject
) -> None:
    two = two_sides()
    frames = [frame for batch in batches for frame in frames_of(two.client, batch)]
    sent = [text for batch in batches for text in batch]
    arrived: list[str] = []
    for index in data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=20)):
        try:
            arrived += two.server.open_some(frames[index])
        except FrameError as error:
            assert error.reason in {"repeated", "lost"}
    assert arrived == sent[: len(arrived)]


def test_a_repeated_frame_is_dropped_and_the_next_one_taken() -> None:
    two = two_sides()
    first, second = frames_of(two.client, ["first"]) + frames_of(two.client, ["second"])
    two.server.open_some(first)
    assert refused(two.server, first) == "repeated"
    assert two.server.open_some(second) == ["second"]
    assert refused(two.server, first) == "repeated"
    assert not two.server.must_renew


def test_a_lost_frame_is_noticed_and_ends_the_connection() -> None:
    two = two_sides()
    _, second, third = (frames_of(two.client, [text])[0] for text in "abc")
    assert refused(two.server, second) == "lost"
    assert two.server.must_renew
    assert refused(two.server, third) == "lost"


def test_our_own_frame_does_not_open() -> None:
    two = two_sides()
    for sender in (two.client, two.server):
        (frame,) = frames_of(sender, ["restart"])
        assert refused(sender, frame) == "not-opened"


def test_a_frame_of_another_connection_does_not_open() -> None:
    (frame,) = frames_of(two_sides().client, ["x"])
    assert refused(two_sides().server, frame) == "not-opened"


@given(st.data())
def test_an_altered_frame_does_not_open_and_changes_nothing(data: st.DataObject) -> None:
    two = two_sides()
    (frame,) = frames_of(two.client, ["some", "payloads"])
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    altered = bytearray(frame)
    altered[place // 8] ^= 1 << place % 8
    cut = frame[: data.draw(st.integers(0, len(frame) - 1))]
    longer = frame + data.draw(st.binary(min_size=1, max_size=40))
    for wrong in (bytes(altered), cut, longer):
        assert refused(two.server, wrong) in {"not-opened", "malformed"}
    assert two.server.open_some(frame) == ["some", "payloads"]


@given(st.binary(max_size=200) | st.text(max_size=50))
def test_rubbish_is_refused_and_changes_nothing(rubbish: bytes | str) -> None:
    two = two_sides()
    assert refused(two.server, rubbish) in {"malformed", "not-opened", "kind"}
    assert two.server.open_some(frames_of(two.client, ["x"])[0]) == ["x"]


def test_a_forged_number_moves_nothing() -> None:
    two = two_sides()
    (frame,) = frames_of(two.client, ["x"])
    assert refused(two.server, b"\xff" * 8 + frame[8:]) == "not-opened"
    assert not two.server.must_renew
    assert two.server.open_some(frame) == ["x"]


def test_an_overlong_frame_is_refused_before_it_is_opened() -> None:
    two = two_sides(Limits(dense_frame_bytes=20_000))
    assert refused(two.server, bytes(20_001)) == "too-long"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0\0\1",
        body_of(b"x") + b"\0",
        body_of(b"x")[:-1],
        b"\xff\xff\xff\xff" + b"x" * 30,
        body_of(b"fine", b"\xff"),
        body_of("half a pair \ud800".encode("utf-8", "surrogatepass")),
        body_of(*[b""] * (MAX_PAYLOADS_PER_FRAME + 1)),
    ],
    ids=repr,
)
def test_an_authentic_frame_of_no_payloads_is_dropped_whole(body: bytes) -> None:
    two = two_sides()
    assert refused(two.server, frame_with(two.keys, 0, body)) == "malformed"
    assert two.server.open_some(frame_with(two.keys, 1, body_of(b"next"))) == ["next"]


@given(st.binary(max_size=60))
def test_no_body_of_an_authentic_peer_raises_anything_else(body: bytes) -> None:
    two = two_sides()
    try:
        payloads = two.server.open_some(frame_with(two.keys, 0, body))
    except FrameError as error:
        assert error.reason == "malformed"
    else:
        assert body_of(*(text.encode() for text in payloads)) == body


def test_keys_do_not_show() -> None:
    two = two_sides()
    shown = repr(two.keys) + repr(two.client)
    assert two.keys.to_peer.hex() not in shown
    assert repr(two.keys.to_peer) not in shown


# --- who speaks it ----------------------------------------------------------------------------------------


def local(name: str, *framings: str) -> LocalService:
    return LocalService.create(name, framings=framings)


def test_two_of_ours_agree_upon_it() -> None:
    dialled, listened = establish(
        pair(local("cluster", *FRAMINGS), local("portal", *FRAMINGS), Entry("cluster"))
    )
    assert dialled.info.framing == listened.info.framing == NAME
    frame, _ = dialled.session.seal_some(["up"])
    assert listened.session.open_some(frame) == ["up"]
    frame, _ = listened.session.seal_some(["down"])
    assert dialled.session.open_some(frame) == ["down"]


@pytest.mark.parametrize("client", [(), (NAME,), ("dense-9",)])
@pytest.mark.parametrize("server", [(), (NAME,), ("dense-9",)])
def test_it_is_spoken_only_where_both_offer_it(client: tuple[str, ...], server: tuple[str, ...]) -> None:
    dialled, listened = establish(pair(local("cluster", *client), local("portal", *server), Entry("cluster")))
    both = client == server == (NAME,)
    for established in (dialled, listened):
        assert isinstance(established.session, DenseSession if both else Session)


def test_whoever_echoes_our_field_does_not_agree() -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(local("portal", NAME), client)
    # What our own server would offer, sent back to it by a peer that returns unknown fields.
    begin(server, client, paddington={"side": "server", "framings": [NAME]})
    identified = server.receive(frame_of(client.session, client.details()))
    assert isinstance(identified, Identified)
    assert identified.info.framing is None
    established = server.answer().established
    assert established is not None
    assert isinstance(established.session, Session)


async def test_services_speak_it_and_one_that_may_not_is_understood(autojump_clock: object) -> None:
    for options, framing in (({}, NAME), ({"dense_framing": False}, None)):
        async with connected(**options) as (portal, cluster):
            assert portal.connection(CLUSTER).info.framing == framing
            assert cluster.connection(PORTAL).info.framing == framing
            for number in range(100):
                await cluster.send(PORTAL, f"up {number}")
            for number in range(100):
                assert await portal.events.receive() == Received(CLUSTER, f"up {number}")


async def test_a_text_on_a_dense_line_is_dropped_and_the_line_stays(autojump_clock: object) -> None:
    portal_config, cluster_config = introduce()
    network = MemoryNetwork()
    async with open_service(portal_config, network=network) as portal:
        handshake = handshake_of(cluster_config, local("cluster", NAME))
        client = await RawClient.call(network, headers=handshake.headers())
        established = await client.shake_hands(handshake)
        assert isinstance(established, Established)
        await portal.events.receive()
        await client.send_text("ab" * 100)
        frame, _ = established.session.seal_some(["still here"])
        await client.send(BytesMessage(frame))
        assert await portal.events.receive() == Received(CLUSTER, "still here")
        assert portal.connection(CLUSTER).statistics().dropped == 1


async def test_after_a_lost_frame_the_line_is_opened_afresh(autojump_clock: object) -> None:
    portal_config, cluster_config = introduce()
    network = MemoryNetwork()
    async with open_service(portal_config, network=network) as portal:
        handshake = handshake_of(cluster_config, local("cluster", NAME))
        client = await RawClient.call(network, headers=handshake.headers())
        established = await client.shake_hands(handshake)
        assert isinstance(established, Established)
        await portal.events.receive()
        established.session.seal_some(["taken off the line"])
        frame, _ = established.session.seal_some(["too late"])
        await client.send(BytesMessage(frame))
        event = await portal.events.receive()
        assert event.peer == CLUSTER
        assert "1 were lost" in event.reason
        with trio.fail_after(60):
            await client.wait_end()


def test_the_setting_survives_its_file_and_is_written_only_where_it_says_no(tmp_path: Path) -> None:
    for dense in (True, False):
        path = tmp_path / f"{dense}.toml"
        ServiceConfig.create("portal", dense_framing=dense).save(path)
        assert ServiceConfig.load(path).dense_framing is dense
        assert ("dense_framing" in path.read_text()) is not dense


def test_a_setting_that_is_no_truth_value_is_refused() -> None:
    table = ServiceConfig.create("portal").to_toml() | {"dense_framing": "no"}
    with pytest.raises(ConfigError, match=r"dense_framing.*true or false"):
        ServiceConfig.from_toml(table)
