"""What the tests of the pure core share: published vectors, configured entries, two linked sides."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
from hypothesis import strategies as st

from paddington.limits import Limits
from paddington.protocol.codec import EnvelopeCodec
from paddington.protocol.crypto import Key, Salt
from paddington.protocol.envelope import EnvelopeKeys, Mark, open_frame, seal_frame
from paddington.protocol.handshake import (
    ClientHandshake,
    Established,
    Identified,
    LocalService,
    Send,
    ServerHandshake,
)
from paddington.protocol.jsontext import write
from paddington.protocol.replay import InfoMemory
from paddington.protocol.salts import SentSalts
from paddington.protocol.session import Session

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "wire_vectors.json").read_text(encoding="utf-8")
)

NOW = 1_790_000_000.0


@attrs.frozen
class Entry:
    name: str
    zone: str = "default"
    inner_key: Key = attrs.field(factory=Key.generate)
    outer_key: Key = attrs.field(factory=Key.generate)
    plain_salts: bool = False


def keys_of(vector: dict[str, Any]) -> EnvelopeKeys:
    return EnvelopeKeys.derive(
        Key.from_hex(vector["inner_key"]),
        Key.from_hex(vector["outer_key"]),
        Salt.from_hex(vector["inner_salt"]),
        Salt.from_hex(vector["outer_salt"]),
    )


def random_of(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(
        "".join(vector[n] for n in ("inner_info", "outer_info", "inner_nonce", "outer_nonce"))
    )


def some_keys() -> EnvelopeKeys:
    return EnvelopeKeys.derive(Key.generate(), Key.generate(), Salt.generate(), Salt.generate())


def frame_of(keys: EnvelopeKeys, value: object) -> str:
    """A frame such as a peer without a mark makes it."""
    return seal_frame(keys, write(value).encode(), os.urandom(112))


@attrs.define
class Sides:
    """Two sessions with the same keys."""

    keys: EnvelopeKeys
    left: Session
    right: Session


def sides(*, numbers: bool = True, limits: Limits | None = None) -> Sides:
    keys = some_keys()
    limits = limits or Limits()

    def session() -> Session:
        return Session(
            EnvelopeCodec(keys, Mark.generate()),
            peer_numbers=numbers,
            infos=InfoMemory(limits.remembered_infos),
            limits=limits,
        )

    return Sides(keys, session(), session())


@attrs.define
class Pair:
    """Both sides of one handshake, with every frame that passed."""

    entry: Entry
    client: ClientHandshake
    server: ServerHandshake
    frames: list[str] = attrs.field(factory=list)


def pair(
    client: LocalService, server: LocalService, entry: Entry, *, now: float = NOW, plain: bool = False
) -> Pair:
    """Begin a handshake; the entry has the client's name and the keys of both."""
    dialled = attrs.evolve(entry, name=server.name, plain_salts=plain)
    dialling = ClientHandshake(client, dialled, unix_seconds=now)
    return Pair(entry, dialling, ServerHandshake(server, [entry], dialling.headers(), unix_seconds=now))


def greet(two: Pair) -> Identified:
    """Go on until the server knows who calls."""
    two.frames.append(two.client.first_frame())
    for _ in range(2):
        action = two.server.receive(two.frames[-1])
        if isinstance(action, Identified):
            return action
        assert isinstance(action, Send)
        reply = two.client.receive(action.frame)
        assert isinstance(reply, Send)
        two.frames += [action.frame, reply.frame]
    raise AssertionError


def establish(two: Pair) -> tuple[Established, Established]:
    """Go on until both are primary: the client's and the server's view."""
    greet(two)
    answer = two.server.answer()
    two.frames.append(answer.frame)
    established = two.client.receive(answer.frame)
    assert isinstance(established, Established)
    assert answer.established is not None
    return established, answer.established


@attrs.define
class ScriptedPeer:
    """The far side of a handshake, of any release and any honesty: it seals whatever a test says.

    Attributes:
        entry: The pre-shared keys.
        inner_salt: Salt of the connection.
        outer_salt: Salt of the connection.
        inner: Inner session key.
        outer: Outer session key.
    """

    entry: Entry
    inner_salt: Salt = attrs.field(factory=Salt.generate)
    outer_salt: Salt = attrs.field(factory=Salt.generate)
    inner: Key = attrs.field(factory=Key.generate)
    outer: Key = attrs.field(factory=Key.generate)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return SentSalts.masked(
            self.inner_salt,
            self.outer_salt,
            inner_key=self.entry.inner_key,
            outer_key=self.entry.outer_key,
        ).headers()

    @property
    def preshared(self) -> EnvelopeKeys:
        return self._keys(self.entry.inner_key, self.entry.outer_key)

    @property
    def answering(self) -> EnvelopeKeys:
        return self._keys(self.entry.inner_key, self.outer)

    @property
    def session(self) -> EnvelopeKeys:
        return self._keys(self.inner, self.outer)

    def _keys(self, inner: Key, outer: Key) -> EnvelopeKeys:
        return EnvelopeKeys.derive(inner, outer, self.inner_salt, self.outer_salt)

    def greeting(self, key: Key, **more: object) -> dict[str, object]:
        return {"session_key": {"data": key.hex()}, "engine": "scripted", "version": "9.9.9", **more}

    def details(self, name: str | None = None, *, waiting: bool = False, **more: object) -> dict[str, object]:
        status = {"server_is_secondary": False, "client_is_secondary": waiting}
        fields = {
            "name": name or self.entry.name,
            "zone": self.entry.zone,
            "version": 2,
            "standby_status": status,
        }
        return fields | more


GENERATIONS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "0.32": ({}, {}),
    "0.90": ({"nonce": 0}, {"nonce": 1, "supports_nonce": True}),
    "0.91": ({"nonce": 0, "epoch": 2**64 - 1}, {"nonce": 1, "epoch": 2**64 - 1, "supports_nonce": True}),
    "nulls": ({"nonce": None, "epoch": None}, {"nonce": None, "epoch": None, "supports_nonce": None}),
}
"""What the releases add to Handshake and PeerDetails."""


def dial(service: LocalService, server: ScriptedPeer) -> ClientHandshake:
    """Begin to dial a scripted server, which reads the salts and our Handshake."""
    client = ClientHandshake(service, server.entry, unix_seconds=NOW)
    salts = SentSalts.read(client.headers())
    server.inner_salt, server.outer_salt = salts.salts(
        inner_key=server.entry.inner_key, outer_key=server.entry.outer_key
    )
    value, _ = open_frame(server.preshared, client.first_frame())
    server.outer = Key.from_hex(json.loads(value)["session_key"]["data"])
    return client


def call(service: LocalService, client: ScriptedPeer) -> ServerHandshake:
    """Let a scripted client open the WebSocket."""
    return ServerHandshake(service, [client.entry], client.headers, unix_seconds=NOW)


def begin(server: ServerHandshake, client: ScriptedPeer, **more: object) -> None:
    """Let a scripted client send its Handshake and read the answer."""
    action = server.receive(frame_of(client.preshared, client.greeting(client.outer, **more)))
    assert isinstance(action, Send)
    value, _ = open_frame(client.answering, action.frame)
    client.inner = Key.from_hex(json.loads(value)["session_key"]["data"])


def locals_of(trace: TracebackType | None) -> Iterator[object]:
    """Every local variable that a report about an error could print, but those of the test itself."""
    while trace is not None:
        if "/tests/" not in trace.tb_frame.f_code.co_filename:
            yield from trace.tb_frame.f_locals.values()
        trace = trace.tb_next


def everything_said(error: BaseException) -> str:
    """All that a report with local variables would print about an error."""
    said = [repr(error), str(error), repr(error.args), repr(vars(error))]
    said += [repr(value) for value in locals_of(error.__traceback__)]
    for linked in (error.__cause__, error.__context__):
        if linked is not None:
            said.append(everything_said(linked))
    return "\n".join(said)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)

payloads = st.text(st.characters(exclude_categories=["Cs"]))
