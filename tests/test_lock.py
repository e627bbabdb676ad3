"""The lock of development pins and hashes everything that the project asks for, and says where from to nobody."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [
    line
    for line in LOCK.replace("\\\n", " ").splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
PINNED = {
    canonicalize_name(requirement.name): requirement
    for line in LINES
    for requirement in [Requirement(line.partition("--hash")[0].strip())]
}


def wanted(names):
    """The requirements of extras, those of extras that they name included."""
    for text in names:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                yield from wanted(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def test_every_line_is_one_version_with_hashes():
    assert len(LINES) > 30
    for line in LINES:
        assert re.fullmatch(r"[\w.-]+==\S+( *;[^-]+)?( +--hash=sha256:[0-9a-f]{64})+ *", line), line[:100]


def test_what_the_project_asks_for_is_in_it_at_a_version_that_will_do():
    for requirement in wanted([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]):
        pinned = PINNED[canonicalize_name(requirement.name)]
        (version,) = (each.version for each in pinned.specifier)
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} against {pinned}"


def test_it_names_no_index_and_no_host():
    assert "://" not in LOCK
    assert not [line for line in LINES if line.startswith("-")]
