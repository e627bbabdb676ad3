"""Ids of jobs and notifications, in every spelling that existing agents accept.

Protocol page *json-types*, section 2. They are always written in lower case, with hyphens.
"""

from __future__ import annotations

import re
import uuid

from ..errors import ParseError

_HYPHENATED = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID = re.compile(
    rf"[0-9a-f]{{32}}|{_HYPHENATED}|\{{{_HYPHENATED}\}}|urn:uuid:{_HYPHENATED}", re.ASCII | re.IGNORECASE
).fullmatch
_EXPECTED = "a UUID such as a1b2c3d4-e5f6-4890-abcd-ef1234567890"


def parse_uuid(text: str) -> uuid.UUID:
    """Read a UUID: with hyphens, optionally in braces or after `urn:uuid:`; or 32 hexadecimal digits.

    Raises:
        ParseError: The text is not a UUID.
    """
    return uuid.UUID(int=parse_uuid_number(text))


def parse_uuid_number(text: str) -> int:
    """Read a UUID as a number; see `parse_uuid`.

    Raises:
        ParseError: The text is not a UUID.
    """
    if not _UUID(text):
        raise ParseError("This is not a UUID", text=text, position=0, expected=_EXPECTED)
    return int(text.strip("{}")[-36:].replace("-", ""), 16) if len(text) > 32 else int(text, 16)
