"""Web addresses: absolute, http or https, with a valid host.

The rules are those of web browsers (the URL standard of the WHATWG) without their leniency: `http:host`,
backslashes for slashes before the host, and tabs, line ends or other control characters that browsers
silently drop are refused here. A path may contain anything, including blanks and non-ASCII characters.

Source: the protocol page *json-types*, section 5.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import unquote_to_bytes

from ..errors import ParseError
from ..text import quoted

MAX_FOREIGN_HOST_CHARACTERS = 253
"""Maximum length of a host name that is not ASCII: the DNS limit, which also bounds the work of converting it."""

_EXPECTED = "an absolute address such as https://example.org/page"
_PORT_MAX = 65_535
_LONGEST_IPV4_PART = 16  # digits without leading zeros; more would exceed 32 bits in any base
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_JOINERS = "\u200c\u200d"

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/\\?#]*)(?P<rest>.*)", re.DOTALL)
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_PORT = re.compile(r"0*[0-9]{0,5}")


def check_url(text: str) -> str:
    """Return `text` if it is an absolute http or https URL, exactly as it was written.

    Raises:
        ParseError: It is not; the message names the wrong part.
    """
    found = _URL.fullmatch(text)
    if found is None:
        raise _refused(text, "it does not begin with https:// or http://")
    if found["scheme"].lower() not in {"http", "https"}:
        raise _refused(text, f"a link is http or https, not {quoted(found['scheme'])}")
    host, port = _split_port(found["authority"].rpartition("@")[2])
    if not _PORT.fullmatch(port) or int(port.lstrip("0") or "0") > _PORT_MAX:
        raise _refused(text, f"{quoted(port)} is not a port from 0 to {_PORT_MAX}")
    reason = _ipv6_fault(host) if host.startswith("[") else _name_fault(host)
    if reason:
        raise _refused(text, reason)
    return text


def _refused(text: str, reason: str) -> ParseError:
    return ParseError(f"{quoted(text)} is not a web address: {reason}", text=text, expected=_EXPECTED)


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, ""
    return name, port


def _ipv6_fault(host: str) -> str | None:
    inside = host[1:-1]
    try:
        # A URL has no zone, but Python would accept one.
        if not host.endswith("]") or "%" in inside:
            return f"{quoted(host)} is not an IPv6 address"
        ipaddress.IPv6Address(inside)
    except ValueError:
        return f"{quoted(host)} is not an IPv6 address"
    return None


def _name_fault(host: str) -> str | None:
    if "%" in host:
        host = unquote_to_bytes(host).decode("utf-8", "replace")
    if not host.isascii() or "xn--" in host.lower():
        looked_up = _international(host)
        if looked_up is None:
            return f"{quoted(host)} is not a host name"
        host = looked_up
    if not host:
        return "it names no host"
    if _FORBIDDEN_IN_HOST.search(host):
        return f"{quoted(host)} holds a character that no host name has"
    return _ipv4_fault(host)


def _international(host: str) -> str | None:
    """Convert a name as browsers do before they look it up (UTS 46); None if that is impossible."""
    import idna

    if len(host) > MAX_FOREIGN_HOST_CHARACTERS:
        return None
    try:
        labels = [_decoded(label) for label in idna.uts46_remap(host, std3_rules=False).split(".")]
        right_to_left = any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in "".join(labels))
        for label in filter(None, labels):
            if unicodedata.category(label[0]).startswith("M"):
                return None
            if right_to_left:
                idna.check_bidi(label, check_ltr=True)
            if any(
                letter in _JOINERS and not idna.valid_contextj(label, at) for at, letter in enumerate(label)
            ):
                return None
    except (idna.IDNAError, ValueError):
        return None
    return ".".join(labels)


def _decoded(label: str) -> str:
    """Undo Punycode; raises ValueError if the result is ASCII, or not allowed in a host name."""
    import idna

    if not label.startswith("xn--"):
        return label
    name = label[4:].encode("ascii").decode("punycode")
    if name.isascii() or idna.uts46_remap(name, std3_rules=False) != name:
        raise ValueError(label)
    return name


def _ipv4_fault(host: str) -> str | None:
    """A name whose last label is a number must be an IPv4 address, in decimal, octal or hexadecimal."""
    labels = host.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        return None
    try:
        *first, last = [_ipv4_part(label) for label in labels[:5]]
    except ValueError:
        return f"{quoted(host)} is not an IPv4 address"
    if len(labels) > 4 or any(part > 255 for part in first) or last >= 256 ** (4 - len(first)):
        return f"{quoted(host)} is not an IPv4 address"
    return None


def _ipv4_part(label: str) -> int:
    if not _NUMBER.fullmatch(label) or len(label.lstrip("0xX")) > _LONGEST_IPV4_PART:
        raise ValueError(label)
    if label[:2].lower() == "0x":
        return int(label[2:] or "0", 16)
    return int(label, 8 if len(label) > 1 and label.startswith("0") else 10)
