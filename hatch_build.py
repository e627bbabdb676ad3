"""The description that a package registry shows: README.md, with its relative links made absolute."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)]+)\)")


def absolute_links(text: str, source: str) -> str:
    """Return Markdown whose relative links lead to files of the repository."""
    return RELATIVE_LINK.sub(rf"]({source}/blob/main/\1)", text)


class Readme(MetadataHookInterface):
    """Sets the readme of the project."""

    def update(self, metadata: dict[str, object]) -> None:
        """Read README.md, and rewrite its links."""
        urls = metadata["urls"]
        assert isinstance(urls, dict)
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute_links(text, urls["Source"])}
