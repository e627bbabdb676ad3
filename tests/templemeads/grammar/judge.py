"""The published client of the reference implementation, asked the same questions as our grammar.

A `Kind` is one sort of text. Ours and theirs each turn a text into what they make of it (a JSON-like value to
compare, with the canonical text in it), or refuse it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import openportal
from hypothesis import strategies as st

from templemeads import grammar as g
from templemeads.errors import ParseError
from templemeads.grammar.strictjson import dump_json, parse_json
from templemeads.grammar.uuids import parse_uuid
from templemeads.jobs.job import Job
from templemeads.testing import STRANGERS, commands, edited, instructions, notifications
from templemeads.testing import strategies as values

Answer = Any
"""What a text was read as, or `REFUSED`."""

REFUSED = "refused"


@attrs.frozen
class Kind:
    """One sort of text.

    Attributes:
        name: What it is called.
        texts: Right texts.
        ours: Reads a text with our grammar; raises ParseError.
        theirs: Reads a text with the published client; raises anything.
        is_json: Whether texts are JSON.
    """

    name: str
    texts: st.SearchStrategy[str]
    ours: Callable[[str], Answer]
    theirs: Callable[[str], Answer]
    is_json: bool = False

    def compare(self, text: str) -> tuple[Answer, Answer]:
        """What both make of a text."""
        return self._ask_us(text), self._ask_them(text)

    def _ask_us(self, text: str) -> Answer:
        try:
            return self.ours(text)
        except ParseError:
            return REFUSED

    def _ask_them(self, text: str) -> Answer:
        try:
            return self.theirs(text)
        except (OSError, ValueError, TypeError):
            return REFUSED


def _texts(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return strategy.map(str)


def _without_nulls(value: Any, absent: tuple[str, ...] = ("domain", "domain_version")) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: _without_nulls(item) for name, item in value.items() if item is not None or name not in absent
    }


# --- through a type of their own ----------------------------------------------------------------


def _simple(name: str, ours: Any, theirs: Callable[[str], Any], texts: st.SearchStrategy[Any]) -> Kind:
    return Kind(name, _texts(texts), lambda text: str(ours.parse(text)), lambda text: str(theirs(text)))


def _our_allocation(text: str) -> Answer:
    allocation = g.Allocation.parse(text)
    return str(allocation), allocation.size, allocation.units


def _their_allocation(text: str) -> Answer:
    allocation = openportal.Allocation.parse(text)
    return allocation.to_string(), allocation.size, allocation.units


def _our_quota(text: str) -> Answer:
    quota = g.Quota.parse(text)
    return str(quota), None if quota.usage is None else quota.usage.bytes


def _their_quota(text: str) -> Answer:
    quota = openportal.Quota.parse(text)
    return str(quota), None if quota.usage is None else quota.usage.bytes


def _our_instruction(text: str) -> Answer:
    instruction = g.Instruction.parse(text)
    return str(instruction), instruction.keyword, instruction.arguments()


def _their_instruction(text: str) -> Answer:
    instruction = openportal.Instruction(text)
    return str(instruction), instruction.command, instruction.arguments


def _our_range(text: str) -> Answer:
    days = g.DateRange.parse(text)
    return str(days), [str(day) for day in days.days][:40]


def _their_range(text: str) -> Answer:
    days = openportal.DateRange.parse(text)
    return str(days), [str(day) for day in days.days][:40]


def _our_notification(text: str) -> Answer:
    written = g.Notification.parse(text).to_json()
    return written["destination"], written["event"]


def _their_notification(text: str) -> Answer:
    written = json.loads(openportal.Notification.parse(text).to_json())
    return written["destination"], written["event"]


# --- through a field of an award, or an argument of an instruction ------------------------------


def _in_award(field: str, text: str) -> Answer:
    return json.loads(openportal.AwardDetails(json.dumps({field: text}, ensure_ascii=False)).to_json()).get(
        field
    )


def _of_award(name: str, field: str, ours: Any, texts: st.SearchStrategy[Any]) -> Kind:
    return Kind(name, _texts(texts), lambda text: str(ours.parse(text)), lambda text: _in_award(field, text))


def _our_usage(text: str) -> Answer:
    return str(g.Usage.parse(text))


def _their_usage(text: str) -> Answer:
    return openportal.Instruction(f"set_limit p.w {text}").arguments[1]


def _our_destinations(text: str) -> Answer:
    return str(g.Destinations.parse(text))


def _their_destinations(text: str) -> Answer:
    return openportal.Instruction(f"sync_offerings {text}").arguments[0]


JOB = {
    "id": "a1b2c3d4-e5f6-4890-abcd-ef1234567890",
    "created": 1_700_000_000,
    "changed": 1_700_000_010,
    "expires": 1_700_000_120,
    "version": 1,
    "command": "a.b get_offerings",
    "state": "Created",
    "result": None,
    "result_type": None,
    "forwarded_for": None,
}


def _our_command(text: str) -> Answer:
    return str(g.Command.parse(text))


def _their_command(text: str) -> Answer:
    job = openportal.Job.from_json(json.dumps({**JOB, "command": text}, ensure_ascii=False))
    return json.loads(job.to_json())["command"]


def _their_uuid(text: str) -> Answer:
    # Through a job: the client's own type for ids ends the process that asks it about a wrong one.
    return json.loads(openportal.Job.from_json(json.dumps({**JOB, "id": text})).to_json())["id"]


# --- JSON ---------------------------------------------------------------------------------------


def _json(name: str, ours: Any, theirs: Callable[[str], Any], texts: st.SearchStrategy[Any]) -> Kind:
    return Kind(
        name,
        _texts(texts),
        lambda text: _without_nulls(ours.parse(text).to_json()),
        lambda text: _without_nulls(json.loads(theirs(text).to_json())),
        is_json=True,
    )


def _our_link(text: str) -> Answer:
    return g.Link.from_json(parse_json(text)).to_json()


def _their_link(text: str) -> Answer:
    if text.strip(" \t\r\n") == "null":
        raise ValueError("an absent link")
    return json.loads(openportal.AwardDetails(f'{{"award":{text}}}').to_json())["award"]


def _our_note(text: str) -> Answer:
    return g.Note.from_json(parse_json(text)).to_json()


def _their_note(text: str) -> Answer:
    notes = json.loads(openportal.AwardDetails(f'{{"notes":[{text}]}}').to_json())["notes"]
    if len(notes) != 1:
        raise ValueError("not one note")
    return notes[0]


def _our_job(text: str) -> Answer:
    return _without_nulls(Job.from_json(parse_json(text)).to_json())


def _their_job(text: str) -> Answer:
    return _without_nulls(json.loads(openportal.Job.from_json(text).to_json()))


def _our_notification_json(text: str) -> Answer:
    return _without_nulls(g.Notification.from_json(parse_json(text)).to_json())


def _their_notification_json(text: str) -> Answer:
    return _without_nulls(json.loads(openportal.Notification.from_json(text).to_json()))


def _our_award(text: str) -> Answer:
    return str(g.AwardDetails.parse(text))


def _their_award(text: str) -> Answer:
    return openportal.AwardDetails(text).to_json()


def _job_texts() -> st.SearchStrategy[str]:
    times = st.integers(-(10**9), 4 * 10**9) | st.sampled_from([-8_334_601_228_800, 8_210_266_876_799])
    job = st.fixed_dictionaries(
        {
            "id": st.uuids().map(str),
            "created": times,
            "changed": times,
            "expires": times,
            "version": st.integers(0, 10) | st.just(2**64 - 1),
            "command": commands(portal_rule=False).map(str),
            "state": st.sampled_from(["Created", "Pending", "Running", "Complete", "Error", "Duplicate"]),
        },
        optional={
            "result": st.none() | values.texts(),
            "result_type": st.none() | st.sampled_from(["None", "String", "Vec<String>", "Error"]),
            "forwarded_for": st.none() | values.destinations().map(str),
            "domain": st.none() | values.texts(),
            "domain_version": st.none() | values.texts(),
        },
    )
    return job.map(dump_json)


_uuids = st.uuids().flatmap(
    lambda it: st.sampled_from([str(it), it.hex, f"{{{it}}}", it.urn, str(it).upper(), it.urn.upper()])
)

KINDS = [
    _simple("portal", g.PortalIdentifier, openportal.PortalIdentifier, values.portal_identifiers()),
    _simple("project", g.ProjectIdentifier, openportal.ProjectIdentifier, values.project_identifiers()),
    _simple("user", g.UserIdentifier, openportal.UserIdentifier, values.user_identifiers()),
    _simple("projectmapping", g.ProjectMapping, openportal.ProjectMapping, values.project_mappings()),
    _simple("usermapping", g.UserMapping, openportal.UserMapping, values.user_mappings()),
    _simple("destination", g.Destination, openportal.Destination, values.destinations()),
    _simple("storagesize", g.StorageSize, openportal.StorageSize.parse, values.storage_sizes()),
    _simple("quotalimit", g.QuotaLimit, openportal.QuotaLimit.parse, values.quota_limits()),
    _simple("volume", g.Volume, openportal.Volume.parse, values.volumes()),
    _simple("template", g.ProjectTemplate, openportal.ProjectTemplate, values.project_templates()),
    _simple("domain", g.DomainPattern, openportal.DomainPattern, values.domain_patterns()),
    Kind(
        "quota",
        _texts(values.quota_limits())
        | st.builds("{} used {}".format, values.storage_sizes(), values.storage_sizes()),
        _our_quota,
        _their_quota,
    ),
    Kind("allocation", _texts(values.allocations()), _our_allocation, _their_allocation),
    Kind(
        "daterange",
        _texts(values.date_ranges()) | st.sampled_from(["today", "this_week", "last_month", "last_year"]),
        _our_range,
        _their_range,
    ),
    Kind("uuid", _uuids, lambda text: str(parse_uuid(text)), _their_uuid),
    Kind("instruction", _texts(instructions()), _our_instruction, _their_instruction),
    Kind("command", _texts(commands()), _our_command, _their_command),
    Kind("notification", _texts(notifications(forwards=False)), _our_notification, _their_notification),
    Kind(
        "usage",
        st.builds("{} {}".format, values.usages(), st.sampled_from(["", "s", "Minutes", "hour", "DAYS"])),
        _our_usage,
        _their_usage,
    ),
    Kind("destinations", _texts(values.destination_lists()), _our_destinations, _their_destinations),
    _of_award("date", "start_date", g.Date, values.dates()),
    _of_award("timestamp", "earliest_approve", g.Timestamp, values.timestamps()),
    _of_award("membership", "membership_control", g.MembershipControl, values.membership_controls()),
    Kind(
        "award",
        _texts(values.award_details(free_text=values.texts())),
        _our_award,
        _their_award,
        is_json=True,
    ),
    Kind("link", _texts(values.links()), _our_link, _their_link, is_json=True),
    Kind("note", _texts(values.notes()), _our_note, _their_note, is_json=True),
    Kind("job", _job_texts(), _our_job, _their_job, is_json=True),
    Kind(
        "notificationjson",
        notifications().map(lambda it: dump_json(it.to_json())),
        _our_notification_json,
        _their_notification_json,
        is_json=True,
    ),
    _json(
        "projectusagereport",
        g.ProjectUsageReport,
        openportal.ProjectUsageReport.from_json,
        values.project_usage_reports(),
    ),
    _json("usagereport", g.UsageReport, openportal.UsageReport.from_json, values.usage_reports()),
    _json(
        "projectstoragereport",
        g.ProjectStorageReport,
        openportal.ProjectStorageReport.from_json,
        values.project_storage_reports(),
    ),
    _json("storagereport", g.StorageReport, openportal.StorageReport.from_json, values.storage_reports()),
]


# --- what is asked ------------------------------------------------------------------------------

_strange_values = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            -1,
            1,
            1.0,
            0.5,
            2**64 - 1,
            2**64,
            -(2**63),
            "",
            " ",
            "x",
            "0",
            "null",
            "2024-1-5",
        ),
        *([], {}, [None], ["x"], {"x": 1}, {"seconds": 1}, {"seconds": 1.0}, {"limit": "unlimited"}),
        *("unlimited", "\ue000", "https://x.org"),
    ]
)


def edited_json(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON texts after a change to one value or key somewhere inside."""
    return texts.map(json.loads).flatmap(_edited_value).map(_dump)


@attrs.frozen
class _Pairs:
    """An object that may name a key twice."""

    pairs: tuple[tuple[str, Any], ...]


def _dump(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{_dump(name)}:{_dump(item)}" for name, item in value.pairs) + "}"
    if isinstance(value, dict):
        return _dump(_Pairs(tuple(value.items())))
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _edited_value(value: Any) -> st.SearchStrategy[Any]:
    edits: list[st.SearchStrategy[Any]] = [_strange_values]
    if isinstance(value, dict):
        pairs = tuple(value.items())
        edits.append(
            st.builds(
                lambda name, item: _Pairs((*pairs, (name, item))), values.texts(max_size=5), _strange_values
            )
        )
        if pairs:
            at = st.integers(0, len(pairs) - 1)
            inside = at.flatmap(
                lambda i: _edited_value(pairs[i][1]).map(lambda new: _with(pairs, i, (pairs[i][0], new)))
            )
            edits += [
                inside,
                inside,
                at.map(lambda i: _Pairs(pairs[:i] + pairs[i + 1 :])),
                at.map(lambda i: _Pairs((*pairs, pairs[i]))),
                st.builds(lambda i, item: _Pairs((*pairs, (pairs[i][0], item))), at, _strange_values),
                at.flatmap(
                    lambda i: edited(st.just(pairs[i][0])).map(
                        lambda name: _with(pairs, i, (name, pairs[i][1]))
                    )
                ),
            ]
    elif isinstance(value, list) and value:
        edits.append(
            st.integers(0, len(value) - 1).flatmap(
                lambda i: _edited_value(value[i]).map(lambda new: [*value[:i], new, *value[i + 1 :]])
            )
        )
    elif isinstance(value, str):
        edits.append(edited(st.just(value)))
    elif type(value) is int:
        edits.append(st.sampled_from([value + 1, value - 1, float(value), str(value), -value]))
    return st.one_of(edits)


def _with(pairs: tuple[tuple[str, Any], ...], at: int, pair: tuple[str, Any]) -> _Pairs:
    return _Pairs((*pairs[:at], pair, *pairs[at + 1 :]))


def right(kind: Kind) -> st.SearchStrategy[str]:
    """Texts that are right."""
    return kind.texts


def nearly_right(kind: Kind) -> st.SearchStrategy[str]:
    """Texts that are right but for a change or three; some are still right."""
    near = edited(kind.texts) | edited(kind.texts, edits=3)
    return near | edited_json(kind.texts) | edited_json(kind.texts) if kind.is_json else near


def arbitrary(_kind: Kind) -> st.SearchStrategy[str]:
    """Texts of all sorts, most of them made of the characters that the grammar cares about."""
    pieces = st.sampled_from(
        [*STRANGERS, "a", "B", "7", "0", "add_user", "today", "GB", "used", "unlimited", '{"', "2024"]
    )
    return values.texts() | st.lists(pieces, max_size=8).map("".join)


QUESTIONS: Mapping[str, Callable[[Kind], st.SearchStrategy[str]]] = {
    "right": right,
    "nearly right": nearly_right,
    "arbitrary": arbitrary,
}
