"""The handshake against whoever sits on the path, and against peers that are hostile or broken.

Whatever arrives, the outcome is the action that the state allows or a HandshakeError.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington.errors import FrameError, HandshakeError
from paddington.limits import Limits
from paddington.peer import Peer
from paddington.protocol.crypto import Key
from paddington.protocol.envelope import EnvelopeKeys, seal_frame
from paddington.protocol.handshake import (
    ClientHandshake,
    Established,
    Identified,
    LocalService,
    Send,
    ServerHandshake,
)
from paddington.protocol.replay import Window
from paddington.protocol.session import Frame
from tests.paddington.wire import (
    NOW,
    Entry,
    Pair,
    ScriptedPeer,
    begin,
    call,
    dial,
    establish,
    everything_said,
    frame_of,
    greet,
    json_values,
    pair,
)


def portal() -> LocalService:
    return LocalService.create("portal")


def cluster() -> LocalService:
    return LocalService.create("cluster")


def refused(side: ClientHandshake | ServerHandshake, frame: Frame) -> str:
    with pytest.raises(HandshakeError) as caught:
        side.receive(frame)
    return caught.value.reason


class Step:
    """A handshake stopped where one side waits for a frame."""

    def __init__(self, number: int) -> None:
        self.two = two = pair(cluster(), portal(), Entry("cluster"))
        frames = two.frames
        frames.append(two.client.first_frame())
        if number >= 1:
            self._pass(two.server)
        if number >= 2:
            self._pass(two.client)
        if number >= 3:
            two.server.receive(frames[-1])
            frames.append(two.server.answer(client_is_secondary=True).frame)
        if number >= 4:
            two.client.receive(frames[-1])
            frames.append(two.client.poll())
        if number >= 5:
            two.server.receive(frames[-1])
            frames.append(two.server.answer().frame)
        self.waiting: ClientHandshake | ServerHandshake = two.client if number % 2 else two.server
        self.due = frames[-1]

    def _pass(self, side: ClientHandshake | ServerHandshake) -> None:
        action = side.receive(self.two.frames[-1])
        assert isinstance(action, Send)
        self.two.frames.append(action.frame)


STEPS = range(6)
steps = st.sampled_from(STEPS)


@pytest.mark.parametrize("number", STEPS)
def test_every_step_takes_the_frame_that_is_due(number: int) -> None:
    step = Step(number)
    step.waiting.receive(step.due)


@given(steps, st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_ends_the_handshake(number: int, at: int, bit: int) -> None:
    step = Step(number)
    raw = bytearray.fromhex(step.due)
    raw[at % len(raw)] ^= 1 << bit
    assert refused(step.waiting, raw.hex()) == "not-opened"
    assert refused(step.waiting, step.due) == "out-of-turn"


@given(steps, st.integers(0, 10**6))
def test_a_cut_frame_ends_the_handshake(number: int, at: int) -> None:
    step = Step(number)
    assert refused(step.waiting, step.due[: at % len(step.due)]) in {"malformed", "not-opened"}
    assert refused(step.waiting, step.due) == "out-of-turn"


@pytest.mark.parametrize("number", STEPS)
def test_a_frame_out_of_order_ends_the_handshake(number: int) -> None:
    for at in range(number):
        step = Step(number)
        frames = step.two.frames
        reason = refused(step.waiting, frames[at])
        own = (at % 2 == 0) == (number % 2 == 1)
        assert reason == "reflected" if own else reason in {"not-opened", "repeated", "malformed"}
        assert refused(step.waiting, step.due) == "out-of-turn"


@pytest.mark.parametrize("number", STEPS)
def test_a_frame_of_another_handshake_ends_this_one(number: int) -> None:
    for frame in Step(5).two.frames:
        assert refused(Step(number).waiting, frame) == "not-opened"


@given(steps, st.text() | st.binary() | st.text("0123456789abcdefABCDEF", max_size=1200))
def test_any_message_ends_the_handshake(number: int, frame: Frame) -> None:
    refused(Step(number).waiting, frame)


def test_a_long_frame_is_refused_by_its_length() -> None:
    for number in STEPS:
        assert refused(Step(number).waiting, "0" * (16 * 1024 + 1)) == "too-long"
        assert refused(Step(number).waiting, "0" * (16 * 1024)) == "not-opened"
    assert refused(Step(0).waiting, b"0" * 500) == "kind"


@settings(max_examples=50)
@given(json_values)
def test_any_value_under_the_right_keys_ends_the_handshake(value: object) -> None:
    client = ScriptedPeer(Entry("cluster"))
    assert refused(call(portal(), client), frame_of(client.preshared, value)) == "malformed"
    server = call(portal(), client)
    begin(server, client)
    assert refused(server, frame_of(client.session, value)) == "malformed"
    server = call(portal(), client)
    begin(server, client)
    server.receive(frame_of(client.session, client.details()))
    server.answer(client_is_secondary=True)
    if value != {}:
        assert refused(server, frame_of(client.session, value)) == "malformed"

    far = ScriptedPeer(Entry("portal"))
    dialling = dial(cluster(), far)
    assert refused(dialling, frame_of(far.answering, value)) == "malformed"
    dialling = dial(cluster(), far)
    dialling.receive(frame_of(far.answering, far.greeting(far.inner)))
    assert refused(dialling, frame_of(far.session, value)) == "malformed"


def _seal_text(keys: EnvelopeKeys, text: str) -> str:
    return seal_frame(keys, text.encode(), os.urandom(112))


@pytest.mark.parametrize("text", ["", "{", "[" * 900, '{"a":1,"a":2}', "NaN", '"\\ud800"', "9" * 900, "null"])
def test_what_is_no_strict_json_ends_the_handshake(text: str) -> None:
    client = ScriptedPeer(Entry("cluster"))
    assert refused(call(portal(), client), _seal_text(client.preshared, text)) == "malformed"
    server = call(portal(), client)
    begin(server, client)
    assert refused(server, _seal_text(client.session, text)) == "malformed"


def test_an_all_zero_session_key_is_refused_in_both_directions() -> None:
    zero = Key(bytes(32))
    client = ScriptedPeer(Entry("cluster"))
    assert refused(call(portal(), client), frame_of(client.preshared, client.greeting(zero))) == "zero-key"
    server = ScriptedPeer(Entry("portal"))
    dialling = dial(cluster(), server)
    assert refused(dialling, frame_of(server.answering, server.greeting(zero))) == "zero-key"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": "other"}, "name"),
        ({"name": "\x1b[31m" * 50}, "name"),
        ({"zone": "other"}, "zone"),
        ({"version": 1}, "version"),
        ({"version": 3}, "version"),
        ({"version": 2.0}, "malformed"),
        ({"nonce": -1}, "malformed"),
        ({"epoch": 1.5}, "malformed"),
    ],
)
def test_a_peer_that_is_not_as_configured_is_refused_by_both_sides(
    changed: dict[str, object], reason: str
) -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client)
    assert refused(server, frame_of(client.session, client.details() | changed)) == reason

    far = ScriptedPeer(Entry("portal"))
    dialling = dial(cluster(), far)
    dialling.receive(frame_of(far.answering, far.greeting(far.inner)))
    assert refused(dialling, frame_of(far.session, far.details() | changed)) == reason


def test_a_service_that_dials_itself_gets_an_error_that_says_so() -> None:
    service = portal()
    two = pair(service, service, Entry("portal"))
    with pytest.raises(HandshakeError, match="dial itself"):
        two.server.receive(two.client.first_frame())


def test_a_handshake_reflected_to_its_sender_goes_nowhere() -> None:
    two = pair(cluster(), portal(), Entry("cluster"))
    assert refused(two.client, two.client.first_frame()) == "reflected"
    two = pair(cluster(), portal(), Entry("cluster"))
    greet(two)
    assert refused(two.client, two.frames[-1]) == "reflected"


def test_frames_of_the_handshake_are_no_payloads_afterwards() -> None:
    two = pair(cluster(), portal(), Entry("cluster"))
    dialled, listened = establish(two)
    for session, own in ((dialled.session, 0), (listened.session, 1)):
        for at, frame in enumerate(two.frames):
            with pytest.raises(FrameError) as caught:
                session.open(frame)
            expected = {"reflected"} if at % 2 == own else {"not-opened", "malformed"}
            assert caught.value.reason in expected


def test_frames_of_an_old_peers_handshake_stay_remembered() -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client)
    details = frame_of(client.session, client.details())
    server.receive(details)
    established = server.answer().established
    assert established is not None
    assert len(established.session._infos) == 2


def test_a_repeated_question_of_a_waiting_client_is_refused() -> None:
    step = Step(4)
    assert isinstance(step.two.server, ServerHandshake)
    step.two.server.receive(step.due)
    step.two.server.answer(client_is_secondary=True)
    assert refused(step.two.server, step.due) == "repeated"


def test_a_payload_of_a_waiting_client_is_refused() -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client)
    server.receive(frame_of(client.session, client.details()))
    server.answer(client_is_secondary=True)
    assert refused(server, frame_of(client.session, "KEEPALIVE")) == "malformed"


@pytest.mark.parametrize("value", [{}, "KEEPALIVE", {"server_is_secondary": False}, [], 0])
def test_an_answer_that_is_no_standing_is_refused(value: object) -> None:
    far = ScriptedPeer(Entry("portal"))
    dialling = dial(cluster(), far)
    dialling.receive(frame_of(far.answering, far.greeting(far.inner)))
    dialling.receive(frame_of(far.session, far.details(waiting=True)))
    dialling.poll()
    assert refused(dialling, frame_of(far.session, value)) == "malformed"


def test_an_answer_that_was_not_asked_for_is_refused() -> None:
    step = Step(3)
    step.two.client.receive(step.due)
    assert refused(step.two.client, step.due) == "out-of-turn"


def test_a_client_that_speaks_before_its_answer_is_refused() -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client)
    server.receive(frame_of(client.session, client.details()))
    assert refused(server, frame_of(client.session, {})) == "out-of-turn"
    with pytest.raises(RuntimeError):
        server.answer()


def test_a_wait_ends_when_its_questions_can_no_longer_be_remembered() -> None:
    service = LocalService.create("portal", limits=Limits(remembered_infos=4))
    two = pair(cluster(), service, Entry("cluster"))
    greet(two)
    for _ in range(2):
        two.client.receive(two.server.answer(client_is_secondary=True).frame)
        two.server.receive(two.client.poll())
    two.client.receive(two.server.answer(client_is_secondary=True).frame)
    assert refused(two.server, two.client.poll()) == "exhausted"


# --- repeats across connections -------------------------------------------------------------------------


def _repeat(service: LocalService, two: Pair) -> ServerHandshake:
    """Somebody on the path opens a connection with the recorded salts."""
    return ServerHandshake(service, [two.entry], two.client.headers(), unix_seconds=NOW)


def test_a_recorded_handshake_is_refused_while_it_is_remembered() -> None:
    entry, service = Entry("cluster"), portal()
    recorded = []
    for _ in range(8):
        two = pair(cluster(), service, entry)
        establish(two)
        recorded.append(two)
    for two in recorded:
        assert refused(_repeat(service, two), two.frames[0]) == "repeated"


def test_a_recorded_handshake_comes_no_further_than_its_answer() -> None:
    entry, here = Entry("cluster"), cluster()
    two = pair(here, portal(), entry)
    establish(two)
    fresh = portal()
    for _ in range(3):
        server = _repeat(fresh, two)
        assert isinstance(server.receive(two.frames[0]), Send)
        assert refused(server, two.frames[2]) == "not-opened"
    # None of that has moved anything: the same process of the client connects at once, even at the same time.
    establish(pair(here, fresh, entry))


def test_of_one_handshake_on_50_connections_exactly_one_passes() -> None:
    entry, service = Entry("cluster"), portal()
    two = pair(cluster(), service, entry)
    first = two.client.first_frame()
    servers = [_repeat(service, two) for _ in range(50)]
    answers = [server.receive(first) for server in servers]
    honest = answers[17]
    assert isinstance(honest, Send)
    details = two.client.receive(honest.frame)
    assert isinstance(details, Send)
    assert isinstance(servers.pop(17).receive(details.frame), Identified)
    assert {refused(server, details.frame) for server in servers} == {"not-opened"}


def test_a_peer_that_uses_one_number_twice_passes_once() -> None:
    service, client = portal(), ScriptedPeer(Entry("cluster"))
    both = [call(service, client) for _ in range(2)]
    ends = []
    for server in both:
        begin(server, client, nonce=5, epoch=1)
        ends.append(frame_of(client.session, client.details(nonce=6 + len(ends), epoch=1)))
    assert isinstance(both[0].receive(ends[0]), Identified)
    assert refused(both[1], ends[1]) == "repeated"


def test_repeats_just_before_the_honest_handshake_poison_nothing() -> None:
    entry, service = Entry("cluster"), portal()
    old = pair(cluster(), service, entry)
    establish(old)
    here = cluster()
    for _ in range(20):
        assert refused(_repeat(service, old), old.frames[0]) == "repeated"
        establish(pair(here, service, entry))


def test_a_handshake_opened_and_abandoned_blocks_nobody() -> None:
    entry, service, here = Entry("cluster"), portal(), cluster()
    for _ in range(20):
        two = pair(here, service, entry)
        two.server.receive(two.client.first_frame())
    establish(pair(here, service, entry))


def test_restarts_of_either_side_connect_at_once() -> None:
    entry = Entry("cluster")
    here, there = cluster(), portal()
    for _ in range(100):
        establish(pair(here, there, entry))
    for _ in range(50):
        here = cluster()
        establish(pair(here, there, entry))
    for _ in range(50):
        there = portal()
        establish(pair(here, there, entry))


def test_a_restarted_peer_without_epoch_connects_at_once_in_either_role() -> None:
    ours, entry = portal(), Entry("cluster")
    for _ in range(50):
        for number in (0, 2):
            client = ScriptedPeer(entry)
            server = call(ours, client)
            begin(server, client, nonce=number)
            ended = client.details(nonce=number + 1, supports_nonce=True)
            assert isinstance(server.receive(frame_of(client.session, ended)), Identified)
    ours, entry = cluster(), Entry("portal")
    for _ in range(50):
        far = ScriptedPeer(entry)
        dialling = dial(ours, far)
        dialling.receive(frame_of(far.answering, far.greeting(far.inner, nonce=0)))
        ended = far.details(nonce=1, supports_nonce=True)
        assert isinstance(dialling.receive(frame_of(far.session, ended)), Established)


def test_our_restarts_are_taken_by_a_receiver_that_ignores_epochs() -> None:
    theirs = Window()
    clock, peer = NOW, Peer("portal")
    service = cluster()
    for attempt in range(700):
        if attempt >= 600:
            service = cluster()
        clock += 5
        assert theirs.accept(service.stamp(peer, clock).number or 0)
        assert theirs.accept(service.stamp(peer, clock).number or 0)


def test_an_epoch_that_fell_out_is_new_again_for_its_owner_only() -> None:
    service, client = portal(), ScriptedPeer(Entry("cluster"))
    for epoch in [*range(20), 0]:
        server = call(service, client)
        begin(server, client, nonce=1, epoch=epoch)
        ended = client.details(nonce=2, epoch=epoch)
        assert isinstance(server.receive(frame_of(client.session, ended)), Identified)


def test_the_dialling_side_refuses_a_number_it_has_seen() -> None:
    service, far = cluster(), ScriptedPeer(Entry("portal"))
    for first in (True, False):
        dialling = dial(service, far)
        greeting = frame_of(far.answering, far.greeting(far.inner, nonce=1, epoch=3))
        if first:
            dialling.receive(greeting)
            dialling.receive(frame_of(far.session, far.details(nonce=2, epoch=3)))
        else:
            assert refused(dialling, greeting) == "repeated"


@pytest.mark.parametrize("strict", [False, True])
def test_a_downgrade_is_reported_or_refused(strict: bool) -> None:
    service = LocalService.create("portal", refuse_downgrade=strict)
    client = ScriptedPeer(Entry("cluster"))

    def connect(*, supports: bool) -> tuple[ServerHandshake, str]:
        server = call(service, client)
        begin(server, client)
        return server, frame_of(client.session, client.details(supports_nonce=supports))

    for supports in (False, True):
        server, details = connect(supports=supports)
        identified = server.receive(details)
        assert isinstance(identified, Identified)
        assert not identified.info.downgraded
    server, details = connect(supports=False)
    if strict:
        assert refused(server, details) == "downgrade"
    else:
        identified = server.receive(details)
        assert isinstance(identified, Identified)
        assert identified.info.downgraded


# --- capabilities -----------------------------------------------------------------------------------------


@given(json_values)
def test_rubbish_in_our_field_changes_nothing(field: object) -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client, paddington=field, future={"a": [1]})
    identified = server.receive(frame_of(client.session, client.details(later=field)))
    assert isinstance(identified, Identified)
    assert identified.info.framing is None


# --- secrets ----------------------------------------------------------------------------------------------


def test_no_refusal_shows_a_key() -> None:
    entry, client = Entry("cluster"), None
    secrets = [entry.inner_key, entry.outer_key]
    errors = []

    def collect(side: ClientHandshake | ServerHandshake, frame: str) -> None:
        with pytest.raises(HandshakeError) as caught:
            side.receive(frame)
        errors.append(caught.value)

    for changed in ({"engine": 5}, {"version": "\n"}, {"nonce": -1}, {"session_key": {"data": "5" * 63}}):
        client = ScriptedPeer(entry)
        secrets += [client.outer]
        collect(call(portal(), client), frame_of(client.preshared, client.greeting(client.outer) | changed))
    for changed in ({"name": "x"}, {"version": 5}, {"epoch": -1}, {"standby_status": 1}):
        client = ScriptedPeer(entry)
        server = call(portal(), client)
        begin(server, client)
        secrets += [client.outer, client.inner]
        collect(server, frame_of(client.session, client.details() | changed))
        far = ScriptedPeer(entry)
        dialling = dial(LocalService.create("portal"), far)
        dialling.receive(frame_of(far.answering, far.greeting(far.inner)))
        secrets += [far.outer, far.inner]
        collect(dialling, frame_of(far.session, far.details() | changed))
    for error in errors:
        said = everything_said(error)
        for secret in secrets:
            assert secret.hex() not in said
            assert repr(secret.expose())[2:-1] not in said


def test_no_refusal_shows_what_was_under_the_seal() -> None:
    client = ScriptedPeer(Entry("cluster"))
    server = call(portal(), client)
    begin(server, client)
    with pytest.raises(HandshakeError) as caught:
        server.receive(_seal_text(client.session, '{"hunter2"'))
    assert "hunter2" not in everything_said(caught.value)
