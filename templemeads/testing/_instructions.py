"""Hypothesis strategies for what agents say: instructions, commands, results, notifications.

The strategy for an instruction is drawn from its row in the table of instructions, so none can be forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from .. import grammar as g
from ..grammar.events import EVENTS
from ..grammar.notifications import Forward
from ..grammar.results import NONE, QUOTAS_BY_VOLUME, result_class
from . import strategies as values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

BY_TYPE: Mapping[type[Any], Callable[[], st.SearchStrategy[Any]]] = {
    g.Allocation: values.allocations,
    g.AwardDetails: values.award_details,
    g.DailyProjectUsageReport: values.daily_usage_reports,
    g.Date: values.dates,
    g.DateRange: values.date_ranges,
    g.Destination: values.destinations,
    g.Destinations: values.destination_lists,
    g.DomainPattern: values.domain_patterns,
    g.Link: values.links,
    g.MembershipControl: values.membership_controls,
    g.Node: values.nodes,
    g.Note: values.notes,
    g.PortalIdentifier: values.portal_identifiers,
    g.ProjectIdentifier: values.project_identifiers,
    g.ProjectMapping: values.project_mappings,
    g.ProjectStorageReport: values.project_storage_reports,
    g.ProjectTemplate: values.project_templates,
    g.ProjectUsageReport: values.project_usage_reports,
    g.Quota: values.quotas,
    g.QuotaLimit: values.quota_limits,
    g.StorageReport: values.storage_reports,
    g.StorageSize: values.storage_sizes,
    g.Timestamp: values.timestamps,
    g.Usage: values.usages,
    g.UsageReport: values.usage_reports,
    g.UserIdentifier: values.user_identifiers,
    g.UserMapping: values.user_mappings,
    g.UserUsageReport: values.user_usage_reports,
    g.Volume: values.volumes,
}
"""The strategy of each type of the grammar."""

_BY_ONE_PORTAL: Mapping[type[Any], Callable[[str], st.SearchStrategy[Any]]] = {
    g.PortalIdentifier: lambda portal: st.just(g.PortalIdentifier(portal)),
    g.ProjectIdentifier: lambda portal: values.project_identifiers(portal=portal),
    g.UserIdentifier: lambda portal: values.user_identifiers(portal=portal),
    g.ProjectMapping: lambda portal: values.project_mappings(portal=portal),
    g.UserMapping: lambda portal: values.user_mappings(portal=portal),
}


def instructions(
    *, only: Collection[type[g.Instruction] | str] | None = None, portal: str | None = None
) -> st.SearchStrategy[g.Instruction]:
    """Instructions with valid arguments.

    Args:
        only: Classes or keywords to choose from; all instructions if left out.
        portal: Name of the portal that everything in them belongs to; any if left out.

    Raises:
        ParseError: A keyword in `only` is none.
        ValueError: `only` is empty.
    """
    if only is None:
        rows = g.instructions()
    else:
        rows = tuple(g.find_instruction(row) if isinstance(row, str) else row for row in only)
    if not rows:
        raise ValueError("instructions(only=...) needs at least one instruction to choose from")
    return st.one_of([_instruction(row, portal) for row in rows])


def _instruction(row: type[g.Instruction], portal: str | None) -> st.SearchStrategy[g.Instruction]:
    fields = {parameter.name: _argument(parameter.kind, portal) for parameter in row.parameters}
    return st.builds(row, **fields)


def _carrying_nothing() -> list[type[g.Instruction]]:
    return [row for row in g.instructions() if all(each.kind is not g.Instruction for each in row.parameters)]


def _argument(kind: type[Any], portal: str | None) -> st.SearchStrategy[Any]:
    if kind is str:
        return values.paths()
    if kind is g.QuotaLimit:
        # Rounded as it will be on the wire, so that the instruction that arrives equals the one that was sent.
        return values.quota_limits().map(lambda limit: g.QuotaLimit.parse(str(limit)))
    if kind is g.Instruction:
        plain = [
            row for row in g.instructions() if all(each.kind is not g.Instruction for each in row.parameters)
        ]
        return instructions(only=plain, portal=portal)
    if portal is not None and kind in _BY_ONE_PORTAL:
        return _BY_ONE_PORTAL[kind](portal)
    return BY_TYPE[kind]()


def commands(
    *, only: Collection[type[g.Instruction] | str] | None = None, portal_rule: bool = True
) -> st.SearchStrategy[g.Command]:
    """Commands: a path and an instruction.

    Args:
        only: Classes or keywords of instructions to choose from; all if left out.
        portal_rule: Whether identifiers belong to the first agent of the path, as they must in commands from
            outside of the network.
    """

    def command(asked: g.Instruction) -> st.SearchStrategy[g.Command]:
        portal = asked.owning_portal() if portal_rule else None
        return st.builds(g.Command, values.destinations(first=portal), st.just(asked))

    return instructions(only=only).flatmap(command)


def results_of(instruction: g.Instruction | type[g.Instruction]) -> st.SearchStrategy[Any]:
    """Values of the type that an instruction promises, as a handler would return them."""
    if isinstance(instruction, g.Instruction):
        return results(instruction.result_type())
    return results(instruction.result) if instruction.result is not None else st.none()


def results(type_name: str) -> st.SearchStrategy[Any]:
    """Values of a result type.

    Args:
        type_name: Its name on the wire, such as `Vec<UserMapping>`.

    Raises:
        ValueError: There is no such type.
    """
    if type_name == NONE:
        return st.none()
    if type_name == QUOTAS_BY_VOLUME:
        return st.dictionaries(values.volumes(), values.quotas(), max_size=3)
    if type_name.startswith("Vec<"):
        return st.lists(results(type_name.removeprefix("Vec<").removesuffix(">")), max_size=3)
    kind = result_class(type_name)
    if kind is bool:
        return st.booleans()
    if kind is str:
        return values.texts()
    if kind not in BY_TYPE:
        raise ValueError(f"There is no result type {type_name}")
    return BY_TYPE[kind]()


def notifications(*, forwards: bool = True) -> st.SearchStrategy[g.Notification]:
    """Notifications of all events.

    Args:
        forwards: Whether some may be passed on inside of others.
    """
    events: st.SearchStrategy[Any] = st.sampled_from(EVENTS).flatmap(
        lambda event: st.builds(event, BY_TYPE[event.subject]())
    )
    if forwards:
        events |= st.builds(Forward, notifications(forwards=False))
    family = st.sampled_from([(None, None), ("greatwestern", "0.94.0")])
    return st.builds(
        lambda path, event, identity, family: g.Notification(
            path, event, id=identity, domain=family[0], domain_version=family[1]
        ),
        values.destinations(),
        events,
        st.uuids(),
        family,
    )
