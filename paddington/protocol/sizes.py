"""How large a payload may be: the one home of frame arithmetic.

In the compatible framing a value of L bytes of JSON makes a frame of 4 L + 372 characters (protocol page
*newer-protocol*, section 6). Which frames a peer takes depends on its generation:

====================================  ======================  ============================================
peer                                  setting                 default
====================================  ======================  ============================================
numbers its payloads (0.90 and later) `frame_bytes`           2 MiB: payloads of 524 kB of JSON
does not (0.32)                       `legacy_frame_bytes`    16 MiB: payloads of 4.1 MB of JSON
speaks the dense framing (ours)       `dense_frame_bytes`     4 MiB: everything that a peer of 0.32 can send
====================================  ======================  ============================================

A connection knows its own limit: `Connection.largest_payload` and `Connection.max_payload_fits`. The functions here
answer for a generation, before there is a connection.
"""

from __future__ import annotations

import json
from typing import Final

from ..limits import Limits

FRAME_OVERHEAD: Final = 372
CHARACTERS_PER_BYTE: Final = 4
NUMBER_BYTES: Final = len('{"nonce":18446744073709551615,"payload":}')
MAX_BYTES_PER_CHARACTER: Final = 12
"""Bytes of JSON that one character of a text can take, if it was escaped once already: a control character."""
OTHER_FIELDS_CHARACTERS: Final = 1_000
"""Characters of a message around the texts that a caller counts: ids, times, names of fields."""


def max_value_bytes(frame_characters: int) -> int:
    """Return how many bytes of JSON fit into a frame of the compatible framing."""
    return (frame_characters - FRAME_OVERHEAD) // CHARACTERS_PER_BYTE


def send_limit(limits: Limits, *, peer_numbers: bool) -> int:
    """Return how many characters a frame for a peer may have, in the compatible framing."""
    return limits.frame_bytes if peer_numbers else limits.legacy_frame_bytes


def max_payload_bytes(limits: Limits, *, peer_numbers: bool = True) -> int:
    """Return how many bytes of JSON a payload may take, in the compatible framing.

    Args:
        limits: The limits of the service.
        peer_numbers: Whether the peer numbers its payloads, which existing agents do from 0.90 on.
    """
    value = max_value_bytes(send_limit(limits, peer_numbers=peer_numbers))
    return value - (NUMBER_BYTES if peer_numbers else 0)


def fits(text: str, limits: Limits, *, peer_numbers: bool = True) -> bool:
    """Return whether a payload fits into one frame for a peer; by default, for a peer of any generation."""
    room = max_payload_bytes(limits, peer_numbers=peer_numbers)
    if peer_numbers:
        room = min(room, max_payload_bytes(limits, peer_numbers=False))
    if len(text) * MAX_BYTES_PER_CHARACTER <= room:
        return True
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) <= room


def always_fitting_characters(limits: Limits) -> int:
    """Return how many characters the texts in a message may have together so that it surely fits, whoever the peer is."""
    return max(0, max_payload_bytes(limits) // MAX_BYTES_PER_CHARACTER - OTHER_FIELDS_CHARACTERS)
