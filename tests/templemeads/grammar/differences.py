"""Where we knowingly read otherwise than the published client of the reference implementation, and why.

Whatever is not listed here must be read alike; `test_differential` holds that.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from templemeads.errors import ParseError
from templemeads.grammar.strictjson import DEFAULT_MAX_DEPTH, parse_json
from tests.templemeads.grammar.judge import REFUSED, Answer


@attrs.frozen
class Difference:
    """A difference that is meant.

    Attributes:
        reason: Why it is better so.
        kinds: Where it shows.
        explains: Whether the text is a case of it.
        example: A text that shows it, of the first of `kinds`.
    """

    reason: str
    kinds: tuple[str, ...]
    explains: Callable[[str], bool]
    example: str

    def covers(self, kind: str, text: str, ours: Answer, theirs: Answer) -> bool:
        """Whether this is why we refuse a text that they take: we never take one that they refuse."""
        return kind in self.kinds and ours == REFUSED != theirs and self.explains(text)


def _urls(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "url" and isinstance(item, str):
                yield item
            yield from _urls(item)
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item)


def _has_mended_address(text: str) -> bool:
    plain = re.compile(
        r"[\s]*https?://[^/\\\x00-\x20][^/\\?#\x00-\x1f]*([/\\?#].*)?", re.IGNORECASE | re.DOTALL
    )
    with contextlib.suppress(ParseError):
        return any(not plain.fullmatch(url) for url in _urls(parse_json(text)))
    return False


DIFFERENCES = [
    Difference(
        reason=(
            "Browsers mend web addresses (http:host, http:\\\\host, line ends in the middle), so that what is shown"
            " and what is followed differ. The protocol page json-types, section 5, leaves the choice open."
        ),
        kinds=("link", "award"),
        explains=_has_mended_address,
        example='{"url":"http:/example.org"}',
    ),
    Difference(
        reason="We limit nesting before anything is read; they only in the fields that they use.",
        kinds=(
            *("award", "link", "note", "job", "notificationjson", "projectusagereport", "usagereport"),
            *("projectstoragereport", "storagereport"),
        ),
        explains=lambda text: text.count("[") + text.count("{") > DEFAULT_MAX_DEPTH,
        example='{"unknown":' + "[" * 200 + "]" * 200 + "}",
    ),
]
