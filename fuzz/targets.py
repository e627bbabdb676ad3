"""What is fuzzed: one function for each place where foreign bytes become values.

A target takes any bytes. It swallows the errors that are documented for that place, and nothing else: whatever comes out
of it is a defect. Where a seal would keep a fuzzer out, the target seals the bytes itself, as a hostile peer could.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from typing import Final

from paddington import Invite, Key, Limits, Peer, ServiceConfig
from paddington.config.peer_config import ClientConfig, ServerConfig
from paddington.config.toml import parse_toml
from paddington.errors import ConfigError, FrameError, HandshakeError, JsonError
from paddington.protocol.codec import EnvelopeCodec
from paddington.protocol.crypto import Salt, seal_raw
from paddington.protocol.dense import DenseKeys, DenseSession
from paddington.protocol.envelope import EnvelopeKeys, Mark, open_frame, seal_frame
from paddington.protocol.handshake import ClientHandshake, Send, ServerHandshake
from paddington.protocol.jsontext import parse
from paddington.protocol.local import LocalService
from paddington.protocol.replay import InfoMemory
from paddington.protocol.salts import SentSalts
from paddington.protocol.session import Session
from templemeads import AgentConfig, Destination, Instruction, Job, Notification, ParseError
from templemeads.grammar import Command
from templemeads.grammar.results import decode_result
from templemeads.grammar.strictjson import parse_json
from templemeads.jobs.commands import Delete, Put, Sync, Update, decode, encode
from templemeads.jobs.exchange import Exchange

Target = Callable[[bytes], None]

NOW: Final = 1_800_000_000
_RANDOM: Final = random.Random(7).randbytes  # one run must be like the next
_LIMITS: Final = Limits()


def _keys() -> EnvelopeKeys:
    return EnvelopeKeys.derive(
        Key.generate(_RANDOM), Key.generate(_RANDOM), Salt.generate(_RANDOM), Salt.generate(_RANDOM)
    )


_INNER: Final = Key.generate(_RANDOM)
_OUTER: Final = Key.generate(_RANDOM)
_INNER_SALT: Final = Salt.generate(_RANDOM)
_OUTER_SALT: Final = Salt.generate(_RANDOM)
_SESSION_INNER: Final = Key.generate(_RANDOM)
_SESSION_OUTER: Final = Key.generate(_RANDOM)
_SESSION_KEYS: Final = _keys()


def _sealed(keys: EnvelopeKeys, data: bytes) -> str:
    return seal_frame(keys, data, _RANDOM(112))


def _text(data: bytes) -> str:
    try:
        # JSON escapes make halves of surrogate pairs; so must a fuzzer be able to.
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _require_harmless(error: Exception) -> None:
    if not str(error).isprintable() or len(str(error)) > 2_000:
        raise AssertionError("the message could break a log")


def frames(data: bytes) -> None:
    """A frame as it comes off the wire, before and after the handshake."""
    with contextlib.suppress(FrameError):
        open_frame(_SESSION_KEYS, data.decode("latin-1"))
    session = Session(
        EnvelopeCodec(_SESSION_KEYS, Mark.generate(_RANDOM), random=_RANDOM),
        peer_numbers=len(data) % 2 == 0,
        infos=InfoMemory(100),
        limits=_LIMITS,
    )
    for frame in (data.decode("latin-1"), _sealed(_SESSION_KEYS, data)):
        with contextlib.suppress(FrameError):
            session.open(frame)


def dense_frames(data: bytes) -> None:
    """A frame of our own framing."""
    client, server = (
        DenseKeys.derive(_INNER, _OUTER, _INNER_SALT, _OUTER_SALT, dialled=dialled)
        for dialled in (True, False)
    )
    # Once as it is, and once sealed as the first frame of an authentic peer.
    for frame in (data, seal_raw(server.to_peer, data, bytes(24))[16:]):
        with contextlib.suppress(FrameError):
            DenseSession(client, limits=_LIMITS).open_some(frame)


_STATUS: Final = {"server_is_secondary": False, "client_is_secondary": False}


def _envelope(inner: Key, outer: Key) -> EnvelopeKeys:
    return EnvelopeKeys.derive(inner, outer, _INNER_SALT, _OUTER_SALT)


def _greeting(key: Key) -> bytes:
    return json.dumps({"session_key": {"data": key.hex()}, "engine": "fuzz", "version": "1"}).encode()


def server_handshake(data: bytes) -> None:
    """What a caller may send: raw, as its Handshake, as its PeerDetails, as its questions while it waits."""
    for stage in range(4):
        local = LocalService.create("portal", limits=_LIMITS, random=_RANDOM)
        entry = ClientConfig(name="cluster", ip="127.0.0.1", inner_key=_INNER, outer_key=_OUTER)
        salts = SentSalts.masked(_INNER_SALT, _OUTER_SALT, inner_key=_INNER, outer_key=_OUTER)
        with contextlib.suppress(HandshakeError):
            server = ServerHandshake(local, [entry], salts.headers(), unix_seconds=NOW)
            if stage == 0:
                server.receive(data.decode("latin-1"))
                continue
            preshared = _envelope(_INNER, _OUTER)
            if stage == 1:
                server.receive(_sealed(preshared, data))
                continue
            answer = server.receive(_sealed(preshared, _greeting(_SESSION_OUTER)))
            assert isinstance(answer, Send)
            value, _ = open_frame(_envelope(_INNER, _SESSION_OUTER), answer.frame)
            session = _envelope(Key.from_hex(json.loads(value)["session_key"]["data"]), _SESSION_OUTER)
            if stage == 2:
                server.receive(_sealed(session, data))
                continue
            details = {"name": "cluster", "zone": "default", "version": 2, "standby_status": _STATUS}
            server.receive(_sealed(session, json.dumps(details).encode()))
            server.answer(client_is_secondary=True)
            server.receive(_sealed(session, data))


def client_handshake(data: bytes) -> None:
    """What a listener may answer: raw, as its Handshake, as its PeerDetails."""
    for stage in range(3):
        local = LocalService.create("cluster", limits=_LIMITS, random=_RANDOM)
        entry = ServerConfig(name="portal", url="ws://portal:8042", inner_key=_INNER, outer_key=_OUTER)
        client = ClientHandshake(local, entry, unix_seconds=NOW)
        salts = SentSalts.read(client.headers()).salts(inner_key=_INNER, outer_key=_OUTER)
        value, _ = open_frame(EnvelopeKeys.derive(_INNER, _OUTER, *salts), client.first_frame())
        outer = Key.from_hex(json.loads(value)["session_key"]["data"])
        answering = EnvelopeKeys.derive(_INNER, outer, *salts)
        with contextlib.suppress(HandshakeError):
            if stage == 0:
                client.receive(data.decode("latin-1"))
                continue
            if stage == 1:
                client.receive(_sealed(answering, data))
                continue
            client.receive(_sealed(answering, _greeting(_SESSION_INNER)))
            client.receive(_sealed(EnvelopeKeys.derive(_SESSION_INNER, outer, *salts), data))


def commands(data: bytes) -> None:
    """A payload of a peer, up to what an agent decides to do about it, and an hour later."""
    text = _text(data)
    try:
        command = decode(text)
    except ParseError:
        return
    if isinstance(command, Put | Update | Delete | Sync):
        assert encode(command)
    exchange = Exchange("middle", is_neighbour=lambda peer: peer.name != "nobody")
    for sender in ("portal", "cluster", "mallory"):
        # Any other command has nothing to do with jobs.
        if not hasattr(command, "job") and not isinstance(command, Sync):
            return
        exchange.receive(Peer(sender), command, NOW)  # type: ignore[arg-type]
    for later in (60, 3_600, 10_000):
        exchange.sweep(NOW + later)


_READERS: Final[tuple[Callable[[str], object], ...]] = (
    Instruction.parse,
    Command.parse,
    Destination.parse,
    Notification.parse,
)


def grammar(data: bytes) -> None:
    """A text of the grammar: what is read can be written and read again."""
    text = _text(data)
    for read in _READERS:
        try:
            value = read(text)
        except ParseError as error:
            _require_harmless(error)
        else:
            if str(read(str(value))) != str(value):
                raise AssertionError(f"{value!r} is not read as it was written")


def json_values(data: bytes) -> None:
    """JSON of either floor, and the results, jobs and notifications made of it."""
    with contextlib.suppress(JsonError):
        parse(data)
    kind, _, rest = _text(data).partition(" ")
    with contextlib.suppress(ParseError):
        decode_result(rest, kind)
    with contextlib.suppress(ParseError):
        value = parse_json(rest)
        for read in (Job.from_json, Notification.from_json):
            with contextlib.suppress(ParseError):
                read(value)


def toml(data: bytes) -> None:
    """A configuration or an invitation."""
    try:
        document = parse_toml(_text(data), "The file")
    except ConfigError as error:
        _require_harmless(error)
        return
    for read in (ServiceConfig.from_toml, AgentConfig.from_toml, Invite.from_toml):
        with contextlib.suppress(ConfigError):
            read(document)


def salts(data: bytes) -> None:
    """Headers of an upgrade request."""
    pairs = [line.partition(b":")[::2] for line in data.split(b"\n")]
    with contextlib.suppress(HandshakeError):
        SentSalts.read(list(pairs)).salts(inner_key=_INNER, outer_key=_OUTER)


TARGETS: Final[dict[str, Target]] = {
    "frames": frames,
    "dense_frames": dense_frames,
    "server_handshake": server_handshake,
    "client_handshake": client_handshake,
    "commands": commands,
    "grammar": grammar,
    "json_values": json_values,
    "toml": toml,
    "salts": salts,
}
"""Every target by its name."""
