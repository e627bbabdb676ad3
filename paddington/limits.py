"""Every limit of a service: its name, its default, and the source of the number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import attrs

from .errors import ConfigError
from .text import quoted

KIB = 1024
MIB = 1024 * KIB

MIN_FRAME_BYTES = 4 * 4096 + 372
"""Characters of a frame around 4096 bytes of JSON: smaller limits would cut ordinary commands."""


def _seconds(default: float, *, least: float = 0.0) -> float:
    return attrs.field(default=default, converter=_as_seconds, validator=_at_least(least), kw_only=True)


def _whole(default: int, *, least: int = 1) -> int:
    return attrs.field(default=default, validator=[_is_whole, _at_least(least)], kw_only=True)


def _as_seconds(value: object) -> float:
    # bool is an int for Python, and `true` as a time is a mistake worth reporting.
    if type(value) not in {int, float}:
        raise ConfigError(f"A limit in seconds must be a number, not {quoted(repr(value))}")
    return float(value)  # type: ignore[arg-type]


def _is_whole(_: object, field: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int:
        raise ConfigError(f"Limit {field.name} must be a whole number, not {quoted(repr(value))}")


def _at_least(least: float) -> Callable[[object, attrs.Attribute[Any], float], None]:
    # Any: attrs.Attribute is invariant, and fields of int and of float share this check.
    def check(_: object, field: attrs.Attribute[Any], value: float) -> None:
        if not math.isfinite(value) or value < least:
            raise ConfigError(f"Limit {field.name} must be at least {least:g} and finite, not {value!r}")

    return check


@attrs.frozen
class Limits:
    """The limits of one service; table `[service.limits]` of its configuration.

    Page names below are those of the protocol description; *ours* marks a number of our own choice.

    Attributes:
        handshake_seconds: the whole handshake, from accept or dial to the peer details, on both sides
            (*newer-protocol*, section 6).
        handshake_frame_bytes: characters of one frame during the handshake; an honest one takes about 1200
            (ours).
        frame_bytes: characters of a frame to or from a peer with numbered payloads (*newer-protocol*, section 6).
        legacy_frame_bytes: characters of a frame to or from a peer without numbered payloads (*wire*, section 6: their
            library's limit of one frame).
        dense_frame_bytes: bytes of a frame in the dense framing (ours; every payload that fits into a frame of
            `legacy_frame_bytes` can be passed on).
        header_bytes: bytes of the upgrade request (ours; the same as common HTTP servers).
        unproductive_bytes: raw bytes since the last complete message, beyond one frame, before the connection is
            cut (ours; ends streams of empty fragments and control frames).
        unauthenticated_connections: connections of all addresses that have not finished the handshake
            (*newer-protocol*, section 6).
        unauthenticated_per_address: the share of one address in those (ours).
        reserved_descriptors: open files and sockets of the process that connections without a finished handshake never
            take, so that peers, handlers and the store have them; at most half of RLIMIT_NOFILE (ours).
        standby_waiters: waiting connections of one peer (*wire*, section 4).
        standby_poll_seconds: interval between the questions of a waiting client (*wire*, section 4).
        standby_answer_seconds: a waiting client that does not ask for this long is closed, and so is a server
            that does not answer (ours).
        watchdog_seconds: a connection is closed if no message, or part of a large one, comes for this long
            (*wire*, section 5).
        keepalive_seconds: pause before a `KEEPALIVE` is answered (*wire*, section 5).
        send_queue: payloads waiting for the writer of one connection (ours).
        receive_queue: payloads waiting for the user of one connection, from which on nothing more is read; what the last
            frame and the last 32 KiB held beyond it is kept (ours).
        events_queue: events of all connections waiting for the user of the service (ours).
        close_seconds: most time for the closing handshake of a WebSocket (ours).
        dial_seconds: most time to open TCP, TLS and the WebSocket, for each attempt (ours).
        dial_first_seconds: pause after the first failed attempt (ours; existing services always wait 5 s).
        dial_longest_seconds: the pause grows up to this (ours).
        dial_factor: by this factor (ours).
        dial_jitter: random part of the pause, 0 to 1 (ours; spreads the many peers of one
            server).
        remembered_infos: frames of a peer without numbered payloads that one connection takes before it is
            renewed (*security-cases*, P27).
        replay_window: numbers below the highest one that may still arrive (*newer-protocol*, section 4).
        epochs: processes of one peer whose numbers we remember (*newer-protocol*, section 3).
    """

    handshake_seconds: float = _seconds(30)
    handshake_frame_bytes: int = _whole(16 * KIB, least=2 * KIB)
    frame_bytes: int = _whole(2 * MIB, least=MIN_FRAME_BYTES)
    legacy_frame_bytes: int = _whole(16 * MIB, least=MIN_FRAME_BYTES)
    dense_frame_bytes: int = _whole(4 * MIB, least=MIN_FRAME_BYTES)
    header_bytes: int = _whole(16 * KIB, least=KIB)
    unproductive_bytes: int = _whole(64 * KIB, least=KIB)
    unauthenticated_connections: int = _whole(2048)
    unauthenticated_per_address: int = _whole(64)
    reserved_descriptors: int = _whole(256, least=0)
    standby_waiters: int = _whole(16, least=0)
    standby_poll_seconds: float = _seconds(1)
    standby_answer_seconds: float = _seconds(30)
    watchdog_seconds: float = _seconds(300)
    keepalive_seconds: float = _seconds(23)
    send_queue: int = _whole(64)
    receive_queue: int = _whole(64)
    events_queue: int = _whole(256)
    close_seconds: float = _seconds(5)
    dial_seconds: float = _seconds(10)
    dial_first_seconds: float = _seconds(0.2)
    dial_longest_seconds: float = _seconds(30)
    dial_factor: float = _seconds(2, least=1.0)
    dial_jitter: float = _seconds(0.5)
    remembered_infos: int = _whole(1_000_000)
    replay_window: int = _whole(1024)
    epochs: int = _whole(8)

    def __attrs_post_init__(self) -> None:
        if self.dial_jitter > 1:
            raise ConfigError(f"Limit dial_jitter must be between 0 and 1, not {self.dial_jitter!r}")
        if self.dial_longest_seconds < self.dial_first_seconds:
            raise ConfigError("Limit dial_longest_seconds must not be below dial_first_seconds")

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> Self:
        """Read a `[service.limits]` table; missing limits keep their defaults.

        Raises:
            ConfigError: an unknown key, or a value that is not allowed.
        """
        known = {field.name for field in attrs.fields(cls)}
        for key in table:
            if key not in known:
                raise ConfigError(
                    f"There is no limit {quoted(key)}; the limits are {', '.join(sorted(known))}"
                )
        # The validators hold the types, so what a TOML table gives may come in as it is.
        return cls(**table)  # type: ignore[arg-type]

    def to_table(self) -> dict[str, int | float]:
        """Return the limits that differ from their defaults, for `from_table`."""
        default = type(self)()
        return {
            field.name: value
            for field in attrs.fields(type(self))
            if (value := getattr(self, field.name)) != getattr(default, field.name)
        }
