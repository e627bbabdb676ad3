"""Award details: what a portal sends about a project, and how an update changes them.

Reading is lenient: nothing is trimmed, members may be anything, the end may come before the start.
Changing an award here (`AwardDetails.changed`, `AwardDetails.with_members`) is strict. On the wire the type
is called `ProjectDetails`.

Source: the protocol page *json-types*, section 5.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import attrs

from ..errors import ParseError, RefusedError
from ..text import quoted
from .allocation import Allocation
from .dates import Date
from .forms import TEXT, Form, Record, list_of, map_of, member, value_of
from .frozenmap import FrozenMap
from .links import Link, Note
from .patterns import (
    DomainPattern,
    MembershipControl,
    ProjectTemplate,
    check_address,
    is_address_allowed,
)
from .timestamps import Timestamp
from .whitespace import trim


def _date(value: object) -> Date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return Date.of(value)
    raise TypeError(f"expected a date, not a {type(value).__name__}")


DATE: Form[Date] = Form("a date", Date.from_json, _date, lambda date, _unknown: date.to_json())

_LINK = member(value_of(Link), always=False)
_TEXTS = map_of(TEXT, TEXT)


@attrs.frozen
class AwardDetails(Record):
    """Everything known about an award, or everything that an update changes. None means unset, everywhere.

    Attributes:
        name: Title of the project.
        template: Which kind of project it is.
        key: A string that only the portal interprets.
        description: Free text.
        members: Role of each member by e-mail address.
        start_date: First day.
        end_date: Last day.
        allocation: What is granted. "No allocation" is not the same as None.
        breakdown: Free texts by name.
        award: The award in another system.
        call: The call for proposals that it answers.
        project_link: The project in another system.
        renewal: The award that it renews.
        notes: Remarks, in the order received.
        earliest_approve: Earliest time at which it may be approved.
        membership_control: What the receiving portal may change; None means open.
        allowed_domains: Who may be a member; None means everybody, and an empty list nobody.
    """

    name: str | None = attrs.field(default=None, metadata=member(TEXT))
    template: ProjectTemplate | None = attrs.field(default=None, metadata=member(value_of(ProjectTemplate)))
    key: str | None = attrs.field(default=None, metadata=member(TEXT))
    description: str | None = attrs.field(default=None, metadata=member(TEXT))
    members: Mapping[str, str] | None = attrs.field(default=None, metadata=member(_TEXTS))
    start_date: Date | None = attrs.field(default=None, metadata=member(DATE))
    end_date: Date | None = attrs.field(default=None, metadata=member(DATE))
    allocation: Allocation | None = attrs.field(default=None, metadata=member(value_of(Allocation)))
    breakdown: Mapping[str, str] = attrs.field(default=FrozenMap(), metadata=member(_TEXTS, always=False))
    award: Link | None = attrs.field(default=None, metadata=_LINK)
    call: Link | None = attrs.field(default=None, metadata=_LINK)
    project_link: Link | None = attrs.field(default=None, metadata=_LINK)
    renewal: Link | None = attrs.field(default=None, metadata=_LINK)
    notes: Sequence[Note] = attrs.field(default=(), metadata=member(list_of(value_of(Note))))
    earliest_approve: Timestamp | None = attrs.field(
        default=None, metadata=member(value_of(Timestamp), always=False)
    )
    membership_control: MembershipControl | None = attrs.field(
        default=None, metadata=member(value_of(MembershipControl), always=False)
    )
    allowed_domains: Sequence[DomainPattern] | None = attrs.field(
        default=None, metadata=member(list_of(value_of(DomainPattern)))
    )

    def allows(self, address: str) -> bool:
        """Return whether `allowed_domains` lets this e-mail address be a member."""
        return is_address_allowed(address, self.allowed_domains)

    def changed(self, **changes: Any) -> Self:
        """Return a copy with some fields changed. Checks are stricter than for values read from the wire.

        Names, keys and descriptions are trimmed; empty ones, empty links, empty members and "No allocation"
        become None. New members replace all earlier ones.

        Raises:
            ParseError: A member is not an e-mail address, has no role or is not allowed.
        """
        for field in ("name", "key", "description"):
            if isinstance(changes.get(field), str):
                changes[field] = trim(changes[field]) or None
        for field in ("award", "call", "project_link", "renewal"):
            if isinstance(link := changes.get(field), Link) and link.is_empty:
                changes[field] = None
        if isinstance(allocation := changes.get("allocation"), Allocation) and allocation.is_empty:
            changes["allocation"] = None
        members = changes.pop("members", self.members)
        award = attrs.evolve(self, **changes)
        if members is self.members:
            return award
        without = attrs.evolve(award, members=None)
        return without.with_members(members) if members else without

    def with_members(self, members: Mapping[str, str]) -> Self:
        """Return a copy with members added or their roles changed. On an error, none is changed.

        Args:
            members: Role by e-mail address; both are trimmed.

        Raises:
            ParseError: A member is not an e-mail address, has no role or is not allowed.
        """
        return attrs.evolve(self, members={**(self.members or {}), **self._checked(members)})

    def without_member(self, address: str) -> Self:
        """Return a copy without a member; if there is no such member, nothing changes."""
        address = trim(address)
        if self.members is None or address not in self.members:
            return self
        return attrs.evolve(
            self, members={name: role for name, role in self.members.items() if name != address}
        )

    def with_note(self, note: Note) -> Self:
        """Return a copy with one more note at the end."""
        return attrs.evolve(self, notes=(*self.notes, note))

    def merge(self, update: AwardDetails) -> Self:
        """Return this award with an update applied.

        What the update leaves unset stays. The breakdown is merged key by key, new notes are added and all
        are sorted by time, and any other field set in the update replaces the one here, even with empty
        members or an empty list of domains.

        Raises:
            RefusedError: The update is for another template.

        Source: protocol page *json-types*, section 5, "Merging".
        """
        if self.template and update.template and self.template != update.template:
            raise RefusedError(
                f"The template of a project cannot change: it is {quoted(str(self.template))}, and the update"
                f" says {quoted(str(update.template))}. Leave the template out of the update."
            )
        changes: dict[str, Any] = {
            field.name: value
            for field in self.json_fields
            if (value := getattr(update, field.name)) is not None
        }
        changes["breakdown"] = {**self.breakdown, **update.breakdown}
        changes["notes"] = _merged(self.notes, update.notes)
        return attrs.evolve(self, **changes)

    def _checked(self, members: Mapping[str, str]) -> dict[str, str]:
        checked = {}
        for untrimmed, role in members.items():
            address = trim(untrimmed)
            check_address(address)
            if not trim(role):
                raise ParseError(f"The member {quoted(address)} needs a role", text=role, expected="a role")
            if not self.allows(address):
                raise ParseError(
                    f"{quoted(address)} is not allowed in this project: see its allowed_domains",
                    text=address,
                    expected="an address in an allowed domain",
                )
            checked[address] = trim(role)
        return checked


def _merged(notes: Iterable[Note], more: Iterable[Note]) -> list[Note]:
    merged = list(notes)
    seen = set(merged)
    for note in more:
        if note not in seen:
            seen.add(note)
            merged.append(note)
    return sorted(merged, key=lambda note: note.timestamp)
