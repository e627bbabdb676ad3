"""Links and notes, the small objects inside award details.

Source: the protocol page *json-types*, section 5.
"""

from __future__ import annotations

import attrs

from .forms import TEXT, Form, Record, member, value_of
from .timestamps import Timestamp
from .urls import check_url
from .whitespace import trim


def _url(text: str) -> str | None:
    trimmed = trim(text)
    return check_url(trimmed) if trimmed else None


_URL: Form[str | None] = Form(
    "a web address",
    read=lambda value: _url(TEXT.read(value)),
    check=lambda value: _url(TEXT.check(value)),
    write=lambda url, _unknown: url,
)


@attrs.frozen
class Link(Record):
    """A reference to something in another system: an id, a web address, both or neither.

    Attributes:
        id: Its id there, any string; None if unknown.
        url: An absolute http or https URL, trimmed, otherwise as it was written; an empty one becomes None.
    """

    id: str | None = attrs.field(default=None, metadata=member(TEXT, always=False))
    url: str | None = attrs.field(default=None, metadata=member(_URL, always=False))

    @property
    def is_empty(self) -> bool:
        """Whether neither part is set."""
        return self.id is None and self.url is None


@attrs.frozen(order=True)
class Note(Record):
    """A dated remark on an award. Notes are ordered by time.

    Attributes:
        timestamp: When it was made.
        author: Who made it, any string.
        text: The remark, any string.
    """

    timestamp: Timestamp = attrs.field(metadata=member(value_of(Timestamp)))
    author: str = attrs.field(metadata=member(TEXT))
    text: str = attrs.field(metadata=member(TEXT))

    def describe(self) -> str:
        """Return it as one line, to the minute: `[2024-01-15 10:30 UTC — Jane] Approved.`"""
        day, _, time = str(self.timestamp).partition("T")
        return f"[{day} {time[:5]} UTC — {self.author}] {self.text}"
