"""What reports of usage and of storage share: adding, scaling, renaming, and checks between parts.

The functions accept any value of a report's field: an amount, a count, or a mapping of names to such values.
"""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ParseError, RefusedError
from ..text import quoted
from .forms import MAX_U64
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def check_projects(portal: PortalIdentifier, reports: Mapping[ProjectIdentifier, Any]) -> None:
    """Check that each report belongs to the project in its key, and to the portal.

    Raises:
        ParseError: One does not.
    """
    for project, report in reports.items():
        if report.project != project:
            raise ParseError(
                f'The report under "{project}" is about {report.project}',
                text=str(project),
                expected=str(report.project),
            )
        if project.portal != portal.portal:
            raise ParseError(
                f"{project} is not a project of {portal}", text=str(project), expected=f"projects of {portal}"
            )


def renamed_users_of(
    users: Mapping[UserIdentifier, Any], old: ProjectIdentifier, new: ProjectIdentifier
) -> dict[UserIdentifier, Any]:
    """Move users to a project. If two would become one, the user of the old project wins."""
    ordered = sorted(users.items(), key=lambda item: item[0].project_identifier == old)
    return {UserIdentifier(user.username, new.project, new.portal): item for user, item in ordered}


def total(usages: Iterable[Usage]) -> Usage:
    """Add amounts of time, up to the maximum."""
    return functools.reduce(operator.add, usages, Usage(0))


def summed(values: Sequence[Any]) -> Any:
    """Add the values of one field of one or more reports. Sums stop at 2**64 - 1."""
    if isinstance(values[0], Usage):
        return total(values)
    if isinstance(values[0], int):
        return min(sum(values), MAX_U64)
    parts: defaultdict[str, list[Any]] = defaultdict(list)
    for value in values:
        for name, part in value.items():
            parts[name].append(part)
    return {name: summed(each) for name, each in parts.items()}


def scaled(value: Any, factor: float) -> Any:
    """Multiply every amount of time; counts stay."""
    if isinstance(value, Usage):
        return value * factor
    return (
        {name: scaled(part, factor) for name, part in value.items()} if isinstance(value, Mapping) else value
    )


def renamed(value: Mapping[str, Any], level: int, names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the users, which are the keys at a depth of `level` maps.

    Raises:
        RefusedError: Two would have the same name.
    """
    if level > 1:
        return {name: renamed(part, level - 1, names) for name, part in value.items()}
    check_distinct(value, names)
    return {names.get(name, name): part for name, part in value.items()}


def check_distinct(users: Iterable[str], names: Mapping[str, str]) -> None:
    """Check that users still have different names.

    Raises:
        RefusedError: Two would have the same.
    """
    taken: dict[str, str] = {}
    for user in users:
        name = names.get(user, user)
        if name in taken:
            raise RefusedError(
                f"{quoted(taken[name])} and {quoted(user)} cannot both be called {quoted(name)}"
            )
        taken[name] = user


def first_of_each(mappings: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Merge mappings; for a duplicate key the first entry wins."""
    united: dict[Any, Any] = {}
    for mapping in mappings:
        for key, entry in mapping.items():
            united.setdefault(key, entry)
    return united
