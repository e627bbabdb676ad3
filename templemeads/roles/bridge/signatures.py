"""The signature of a request to the bridge: a keyed BLAKE2b-256 over the call, in two versions.

Version 1 joins the fields by line feeds and leaves out what is empty; version 2 writes each field with its length, so that
no two calls have the same text. Source: the protocol page *bridge*, section 2.2, and *newer-protocol*, section 14.1.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

import attrs

KEY_BYTES: Final = 32
"""Length of the key that bridge and web portal share."""

TAG_BYTES: Final = 32
"""Length of a signature."""

_CONTENT_TYPE: Final = "application/json"
_DOMAIN: Final = "openportal-sig-v2"


@attrs.frozen
class Call:
    """What a signature covers.

    Attributes:
        method: `get` or `post`.
        function: Name of the endpoint, for instance `run`.
        date: The value of the header `Date`, as the client wrote it.
        body: The body of the request; empty for GET.
        nonce: The value of the header `X-Nonce`, or None where there is none. An empty header is a nonce.
    """

    method: str
    function: str
    date: str
    body: str = ""
    nonce: str | None = None


def text_v1(call: Call) -> str:
    """Return the text that version 1 signs."""
    fields = [call.method, _CONTENT_TYPE, call.date, call.function]
    if call.body:
        fields.append(call.body)
    if call.nonce is not None:
        fields.append(call.nonce)
    return "\n".join(fields)


def text_v2(call: Call) -> str:
    """Return the text that version 2 signs."""
    fields = (_DOMAIN, call.method, _CONTENT_TYPE, call.date, call.function, call.body, call.nonce or "")
    return "\n".join(f"{len(field.encode())}:{field}" for field in fields)


def tag(key: bytes, call: Call, version: int) -> str:
    """Return the signature of a call, as 64 lower-case hex digits.

    Args:
        key: 32 bytes.
        call: What is signed.
        version: 1 or 2.

    Raises:
        ValueError: There is no such version, or the key has another length.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"The key of a bridge has {KEY_BYTES} bytes, not {len(key)}")
    match version:
        case 1:
            text = text_v1(call)
        case 2:
            text = text_v2(call)
        case _:
            raise ValueError(f"There is no version {version} of the signature")
    data = json.dumps(text, ensure_ascii=False).encode()
    return hashlib.blake2b(data, digest_size=TAG_BYTES, key=key).hexdigest()
