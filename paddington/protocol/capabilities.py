"""Extensions that two paddington services may agree on, in one field of the Handshake.

The field is named `paddington`; existing services ignore it. A service that echoes unknown fields must
not appear to agree, so the offer names the side that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

FIELD: Final = "paddington"
"""Name of the field in the Handshake object."""

FRAMINGS: Final[tuple[str, ...]] = ("dense-1",)
"""Framings that we support beside the compatible one, best first (`paddington.protocol.dense`)."""

_MAX_NAMES: Final = 16

Side: TypeAlias = Literal["client", "server"]


def offer(side: Side, framings: Sequence[str]) -> dict[str, object]:
    """Return our field, as the side that dials (`client`) or listens (`server`)."""
    return {"side": side, "framings": list(framings)}


def framings(field: object, side: Side) -> tuple[str, ...]:
    """Return the framings in the other side's field; none if the field is anything else.

    Args:
        field: The value of the field, None if absent.
        side: The side that must have made it.
    """
    match field:
        case {"side": from_side, "framings": [*names]} if from_side == side:
            return tuple(name for name in names[:_MAX_NAMES] if isinstance(name, str))
    return ()


def agreed(client: Sequence[str], server: Sequence[str]) -> str | None:
    """Return the framing that both choose: the first of the client's that the server has, or None."""
    return next((name for name in client if name in server), None)
