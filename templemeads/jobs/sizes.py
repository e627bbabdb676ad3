"""Whether the text of a command fits into one frame, whoever the peer is.

Source: the protocol page *newer-protocol*, section 6: a sealed value of L bytes of JSON makes a frame of 4 L + 372
characters, and the smallest limit of any generation is 2 MiB.
"""

from __future__ import annotations

import json
from typing import Final

from paddington import Limits

_NUMBERED: Final = len('{"nonce":18446744073709551615,"payload":}')
_WORST = 12
"""Bytes that one character can take: a character outside the basic plane, written as two escapes, does not occur, but a
control character that was escaped once is escaped again."""


_OTHER_FIELDS: Final = 1_000
"""Characters of a command around a job's own texts: ids, times, names of fields."""


def surely_fits(limits: Limits) -> int:
    """Return how many characters the texts of a job may have together so that nothing need be counted."""
    return max(0, ((limits.frame_bytes - 372) // 4 - _NUMBERED) // _WORST - _OTHER_FIELDS)


def fits_every_frame(text: str, *, limits: Limits) -> bool:
    """Tell whether a command's text fits into a frame that any peer takes."""
    room = (limits.frame_bytes - 372) // 4 - _NUMBERED
    if len(text) * _WORST <= room:
        return True
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) <= room
