"""Two services behind a hostile proxy: which session is in force, whatever the proxy does."""

import json
import os

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Limits, Peer, ServiceConfig
from paddington.errors import FrameError
from paddington.protocol.capabilities import FRAMINGS
from paddington.protocol.envelope import RANDOM_SIZE, EnvelopeKeys, seal_frame
from paddington.protocol.local import LocalService
from paddington.protocol.replay import EpochWindows
from paddington.relay.bootstrap import BOOTSTRAP_SALT
from paddington.relay.exchange import (
    Begin,
    Forget,
    Ignored,
    Pass,
    RelayedPeer,
    Reply,
    Unknown,
    ciphertext_of,
    frame_of,
)

NOW = 1_800_000_000.0


@attrs.define
class Side:
    """One service, with its one relayed peer and the sessions that it had."""

    service: LocalService
    state: RelayedPeer
    sessions: dict = attrs.field(factory=dict)
    heard: list = attrs.field(factory=list)

    @classmethod
    def of(cls, name, entry, framings):
        service = LocalService.create(name, framings=framings)
        return cls(service, RelayedPeer(service, entry, EpochWindows()))

    def start(self):
        return self.state.start(NOW)

    def take(self, ciphertext):
        """Take a letter; return the action, and the session's payloads go to `heard`."""
        action = self.state.receive(ciphertext, NOW)
        if isinstance(action, Begin):
            self.sessions[action.terms.generation] = action.terms.session(self.service)
        if isinstance(action, Begin | Pass) and action.frame is not None:
            self.heard += self.session.open_some(action.frame)
        return action

    @property
    def session(self):
        return self.sessions[self.state.current.generation]

    def say(self, text):
        frame, _ = self.session.seal_some([text])
        return ciphertext_of(frame)


def sides(framings=FRAMINGS):
    """The starting side and the waiting side."""
    server, client = ServiceConfig.create("portal"), ServiceConfig.create("cluster")
    client.add_server(server.add_client("cluster", proxy="middle"))
    return (
        Side.of("cluster", client.servers[0], framings),
        Side.of("portal", server.clients[0], framings),
    )


def restarted(side, framings=FRAMINGS):
    return Side.of(side.service.name, side.state.entry, framings)


def meet(starting, waiting):
    answer = waiting.take(starting.start())
    assert isinstance(answer, Reply)
    assert isinstance(starting.take(answer.frame), Begin)
    waiting.take(starting.say("hello"))


@pytest.mark.parametrize("framings", [(), FRAMINGS])
def test_two_sides_talk(framings):
    starting, waiting = sides(framings)
    meet(starting, waiting)
    starting.take(waiting.say("good day"))
    waiting.take(starting.say("again"))
    assert waiting.heard == ["hello", "again"]
    assert starting.heard == ["good day"]
    assert starting.session.binary is bool(framings)


def test_fall_back_to_the_compatible_framing():
    starting, _ = sides(FRAMINGS)
    waiting = Side.of("portal", sides()[1].state.entry, ())
    waiting.state = RelayedPeer(
        waiting.service,
        attrs.evolve(
            waiting.state.entry,
            inner_key=starting.state.entry.inner_key,
            outer_key=starting.state.entry.outer_key,
        ),
        EpochWindows(),
    )
    meet(starting, waiting)
    assert not starting.session.binary


def test_a_replayed_start_is_refused():
    starting, waiting = sides()
    start = starting.start()
    waiting.take(start)
    assert waiting.take(start) == Ignored("repeated")


def test_a_start_recorded_before_our_restart_ends_no_session():
    starting, waiting = sides()
    recorded = starting.start()
    waiting = restarted(waiting)
    meet(starting, waiting)
    before = waiting.state.current
    assert isinstance(waiting.take(recorded), Reply)
    assert waiting.state.current is before
    waiting.take(starting.say("still here"))
    assert waiting.heard[-1] == "still here"


def test_a_late_answer_replaces_nothing():
    starting, waiting = sides()
    late = waiting.take(starting.start())
    meet(starting, waiting)
    before = starting.state.current
    assert starting.take(late.frame) == Ignored("late")
    assert starting.state.current is before


def test_an_answer_after_the_attempt_was_given_up_is_late():
    starting, waiting = sides()
    answer = waiting.take(starting.start())
    starting.state.give_up()
    assert starting.take(answer.frame) == Ignored("late")


def test_frames_are_not_taken_twice_nor_by_their_sender():
    for framings in ((), FRAMINGS):
        starting, waiting = sides(framings)
        meet(starting, waiting)
        frame = starting.say("once")
        waiting.take(frame)
        for side in (waiting, starting):
            try:
                assert side.take(frame) == Ignored("reflected")
            except FrameError as exc:
                assert exc.reason in {"repeated", "not-opened"}
        assert waiting.heard == ["hello", "once"]
        assert starting.heard == []


def test_bootstrap_messages_sent_back_are_recognised():
    starting, waiting = sides()
    start = starting.start()
    answer = waiting.take(start)
    assert starting.take(start) == Ignored("reflected")
    assert waiting.take(answer.frame) == Ignored("reflected")
    unknown = waiting.state.unknown(NOW)
    assert waiting.take(unknown) == Ignored("reflected")


def test_a_waiting_side_alone_takes_a_start():
    starting, _waiting = sides()
    other = restarted(starting)
    assert starting.take(other.start()) == Ignored("role")


def test_session_unknown_ends_the_session_once():
    starting, waiting = sides()
    meet(starting, waiting)
    lost = restarted(waiting)
    assert lost.take(starting.say("anybody?")) == Unknown()
    unknown = lost.state.unknown(NOW)
    assert starting.take(unknown) == Forget()
    assert starting.state.current is None
    meet(starting, lost)
    assert starting.take(unknown) == Ignored("repeated")
    assert starting.state.current is not None


def test_letters_of_another_pair_do_not_open():
    _starting, waiting = sides()
    stranger, _ = sides()
    assert waiting.take(stranger.start()) == Unknown()


def test_many_offers_are_bounded():
    starting, waiting = sides()
    for _ in range(50):
        waiting.take(starting.start())
    assert len(waiting.state._candidates) == 4
    meet(starting, waiting)


def _start(starting, **changes):
    """A Start of the starting side with other fields."""
    entry = starting.state.entry
    keys = EnvelopeKeys.derive(entry.inner_key, entry.outer_key, BOOTSTRAP_SALT, BOOTSTRAP_SALT)
    fields = {
        "type": "Start",
        "session_outer_key": {"data": "11" * 32},
        "inner_key_salt": {"data": "22" * 32},
        "outer_key_salt": {"data": "33" * 32},
        "magic": "44" * 32,
        "engine": "openportal",
        "version": "0.94.0",
        "supports_nonce": True,
        "nonce": 5,
        "epoch": 2**63 + 1,
        **changes,
    }
    value = json.dumps({key: field for key, field in fields.items() if field is not ...}).encode()
    return seal_frame(keys, value, os.urandom(RANDOM_SIZE))


def test_a_start_of_an_existing_service_is_answered():
    starting, waiting = sides()
    assert isinstance(waiting.take(_start(starting)), Reply)
    assert waiting.state._candidates["44" * 32].info.framing is None


@pytest.mark.parametrize(
    "changes",
    [
        {"session_outer_key": {"data": "00" * 32}},
        {"session_outer_key": {"data": "11"}},
        {"nonce": ...},
        {"nonce": -1},
        {"nonce": 1.0},
        {"nonce": True},
        {"epoch": 2**64},
        {"magic": "44"},
        {"type": "Other"},
        {"engine": "x" * 200},
        {"inner_key_salt": ...},
    ],
)
def test_malformed_and_zero_keys_are_refused(changes):
    starting, waiting = sides()
    assert waiting.take(_start(starting, **changes)) == Ignored("malformed")
    assert not waiting.state._candidates


def test_a_zero_key_in_an_answer_is_refused():
    starting, _waiting = sides()
    starting.start()
    accepted = _start(
        starting, type="Accepted", session_inner_key={"data": "00" * 32}, magic=starting.state._pending.magic
    )
    assert starting.take(accepted) == Ignored("malformed")
    assert starting.state.current is None


@given(st.data())
def test_whatever_the_proxy_does_the_sides_agree_in_the_end(data):
    """Drop, repeat, reorder and swap as it likes: nothing is heard twice or altered, and one honest exchange heals."""
    starting, waiting = sides(data.draw(st.sampled_from([(), FRAMINGS])))
    wire = {id(starting): [], id(waiting): []}
    said = {id(starting): set(), id(waiting): set()}
    for step in range(data.draw(st.integers(0, 25))):
        side, other = data.draw(st.sampled_from([(starting, waiting), (waiting, starting)]))
        match data.draw(
            st.sampled_from(["start", "say", "deliver", "deliver", "unknown", "reflect", "junk"])
        ):
            case "start":
                wire[id(waiting)].append(starting.start())
            case "say" if side.state.current is not None:
                text = f"{side.service.name} {step}"
                said[id(other)].add(text)
                wire[id(other)].append(side.say(text))
            case "unknown" if side.state.current is None:
                wire[id(other)].append(side.state.unknown(NOW))
            case "deliver" if wire[id(side)]:
                _deliver(side, other, data.draw(st.sampled_from(wire[id(side)])), wire)
            case "reflect" if wire[id(side)]:
                _deliver(other, side, data.draw(st.sampled_from(wire[id(side)])), wire)
            case "junk":
                _deliver(side, other, "ab" * 200, wire)
            case _:
                pass
    for side in (starting, waiting):
        assert len(side.heard) == len(set(side.heard))
        assert set(side.heard) <= said[id(side)]
    meet(starting, waiting)
    starting.take(waiting.say("agreed"))
    assert starting.heard[-1] == "agreed"


def _deliver(side, other, ciphertext, wire):
    try:
        action = side.take(ciphertext)
    except Exception as exc:
        assert type(exc).__name__ == "FrameError"
        return
    if isinstance(action, Reply):
        wire[id(other)].append(action.frame)


def test_a_payload_at_the_limit_goes_through_a_proxy():
    for framings in ((), FRAMINGS):
        starting, waiting = sides(framings)
        meet(starting, waiting)
        room = starting.session.largest_payload
        largest = starting.say("x" * (room - (4 if framings else 2)))
        assert frame_of(starting.state.current, largest) is not None
        assert 4 * len(largest) + 372 + 4 * 4096 <= Limits().frame_bytes
        waiting.take(largest)
        assert len(waiting.heard[-1]) > 100_000


def test_the_peer_is_known_by_name_and_configured_zone():
    starting, waiting = sides()
    assert starting.state.peer == Peer("portal")
    assert waiting.state.peer == Peer("cluster")
