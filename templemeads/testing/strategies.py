"""Hypothesis strategies for the values of the grammar.

Every value that a strategy here draws can be written as a command or as JSON and read again without loss,
so far as its type allows that at all: a size loses its last digits in text, whatever anybody does (protocol
page *grammar*, section 15).

Bounds are kept small on purpose. A test learns as much from three users as from thirty.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st

from .. import grammar as g
from ..grammar.forms import MAX_U64
from ..grammar.timestamps import EARLIEST_SECOND, LATEST_SECOND, NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_WORD = string.ascii_letters + string.digits + "_"
_NAME = _WORD + "-"
_LETTERS = string.ascii_lowercase
_LABEL = string.ascii_lowercase + string.digits + "-"


def _joined(first: str, rest: str, *, most: int) -> st.SearchStrategy[str]:
    """Texts of which the first character is one of `first` and all others of `rest`."""
    return st.builds(str.__add__, st.sampled_from(first), st.text(rest, max_size=most - 1))


def texts(*, min_size: int = 0, max_size: int = 20) -> st.SearchStrategy[str]:
    """Any text that JSON and UTF-8 can carry: everything but halves of surrogate pairs."""
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=min_size, max_size=max_size)


def names(*, max_size: int = 64) -> st.SearchStrategy[str]:
    """Components of identifiers, now and then as long as they may be."""
    ordinary = _joined(_WORD, _NAME, most=max_size)
    return st.one_of(
        ordinary, ordinary, ordinary, st.sampled_from(["a" * max_size, "Z" * max_size, "_", "0", "x-"])
    )


# --- who ----------------------------------------------------------------------------------------


def portal_identifiers() -> st.SearchStrategy[g.PortalIdentifier]:
    """Portals."""
    return st.builds(g.PortalIdentifier, names())


def project_identifiers(*, portal: str | None = None) -> st.SearchStrategy[g.ProjectIdentifier]:
    """Projects, of any portal or of the one named."""
    return st.builds(g.ProjectIdentifier, names(), names() if portal is None else st.just(portal))


def user_identifiers(
    *, project: str | None = None, portal: str | None = None
) -> st.SearchStrategy[g.UserIdentifier]:
    """Users, of any project and portal or of those named."""
    return st.builds(
        g.UserIdentifier,
        names(),
        names() if project is None else st.just(project),
        names() if portal is None else st.just(portal),
    )


def local_names() -> st.SearchStrategy[str]:
    """Names of users and groups on a system."""
    pieces = st.lists(st.text(_NAME, min_size=1, max_size=12), max_size=2)
    return st.builds(lambda head, tail: ".".join([head, *tail]), names(max_size=30), pieces)


def domains() -> st.SearchStrategy[str]:
    """Domains that end in a word: one that ends in digits would be an IP address to some."""
    label = st.builds(str.__add__, _joined(_LETTERS, _LABEL, most=8), st.sampled_from(_LETTERS))
    words = st.sampled_from(["org", "com", "ac.uk", "example"])
    return st.builds("{}.{}".format, label, words)


def addresses() -> st.SearchStrategy[str]:
    """E-mail addresses that may be members of awards and local users alike."""
    return st.builds("{}@{}".format, names(max_size=20), domains())


def project_mappings(*, portal: str | None = None) -> st.SearchStrategy[g.ProjectMapping]:
    """Projects with their local groups."""
    return st.builds(g.ProjectMapping, project_identifiers(portal=portal), local_names())


def user_mappings(*, portal: str | None = None) -> st.SearchStrategy[g.UserMapping]:
    """Users with their local users and groups."""
    return st.builds(
        g.UserMapping, user_identifiers(portal=portal), local_names() | addresses(), local_names()
    )


# --- where and when -----------------------------------------------------------------------------


def destinations(
    *, first: str | None = None, min_agents: int = 2, max_agents: int = 5
) -> st.SearchStrategy[g.Destination]:
    """Paths of different agents.

    Args:
        first: Name of the first agent, if it matters.
        min_agents: The shortest path; at least 2.
        max_agents: The longest.
    """
    agents = st.lists(names(max_size=12), min_size=min_agents, max_size=max_agents, unique=True)
    if first is None:
        return agents.map(g.Destination)
    rest = st.lists(
        names(max_size=12).filter(lambda name: name != first),
        min_size=min_agents - 1,
        max_size=max_agents - 1,
        unique=True,
    )
    return rest.map(lambda agents: g.Destination([first, *agents]))


def destination_lists() -> st.SearchStrategy[g.Destinations]:
    """Lists of different paths."""
    return st.lists(destinations(), max_size=3, unique=True).map(g.Destinations)


def dates() -> st.SearchStrategy[g.Date]:
    """Days from 1970 to 2200."""
    return st.dates(g.Date(1970, 1, 1), g.Date(2200, 12, 31)).map(g.Date.of)


@st.composite
def date_ranges(draw: st.DrawFn) -> g.DateRange:
    """Ranges of at most 1830 days, most of them short."""
    start = draw(dates())
    furthest = min(
        g.Date(2200, 12, 31).toordinal(), start.toordinal() + draw(st.sampled_from([0, 6, 31, 1830]))
    )
    end = draw(st.integers(start.toordinal(), furthest))
    return g.DateRange(start, g.Date.fromordinal(end))


def timestamps() -> st.SearchStrategy[g.Timestamp]:
    """Moments, mostly of this century, with any fraction of a second."""
    seconds = st.integers(946_684_800, 4_102_444_800) | st.integers(EARLIEST_SECOND, LATEST_SECOND)
    fractions = (
        st.just(0) | st.integers(0, 999).map(lambda n: n * 1_000_000) | st.integers(0, NANOSECONDS - 1)
    )
    return st.builds(g.Timestamp, seconds, fractions)


# --- how much -----------------------------------------------------------------------------------


def _amounts() -> st.SearchStrategy[int]:
    edges = [0, 1, 59, 60, 1023, 1024, 1025, 3600, 1024**2, 1024**3, 1024**4, 1024**5, MAX_U64]
    return st.sampled_from(edges) | st.integers(0, 10**7) | st.integers(0, MAX_U64)


def storage_sizes() -> st.SearchStrategy[g.StorageSize]:
    """Sizes, often at the edge from one unit to the next."""
    return st.builds(g.StorageSize, _amounts())


def quota_limits() -> st.SearchStrategy[g.QuotaLimit]:
    """Limits, some of them without limit."""
    return st.builds(g.QuotaLimit, st.none() | storage_sizes())


def quotas() -> st.SearchStrategy[g.Quota]:
    """Limits with and without usage."""
    return st.builds(g.Quota, quota_limits(), st.none() | storage_sizes())


def volumes() -> st.SearchStrategy[g.Volume]:
    """Names of volumes without any white space: one with a tab in it would not survive a command."""
    visible = st.characters(
        exclude_categories=["Cs", "Zs", "Zl", "Zp"], exclude_characters="\t\n\x0b\x0c\r\x85"
    )
    return st.builds(
        g.Volume, st.sampled_from(["home", "scratch"]) | st.text(visible, min_size=1, max_size=12)
    )


def paths() -> st.SearchStrategy[str]:
    """Paths without white space, absolute, relative and worse: the grammar checks none of that."""
    return volumes().map(str) | st.builds("/home/{}".format, names(max_size=12))


def usages() -> st.SearchStrategy[g.Usage]:
    """Amounts of computing time."""
    return st.builds(g.Usage, _amounts())


def allocations() -> st.SearchStrategy[g.Allocation]:
    """Allocations in the known units and in others, and no allocation."""
    sizes = st.integers(0, 10**6).map(float) | st.floats(0, allow_infinity=False, allow_nan=False)
    units = st.sampled_from(["NHR", "GPUHR", "CPUHR", "COREHR", "GBHR", "BHR", "tokens", "qpu shots"])
    return st.just(g.Allocation()) | st.builds(g.Allocation, sizes, units)


def nodes() -> st.SearchStrategy[g.Node]:
    """Nodes, some of them lacking something."""
    number = st.integers(0, 256) | st.integers(0, 2**32 - 1)
    return st.builds(g.Node, number, number, number, number, number)


# --- awards -------------------------------------------------------------------------------------


def project_templates() -> st.SearchStrategy[g.ProjectTemplate]:
    """Names of kinds of projects, now and then in other scripts."""
    return st.builds(
        g.ProjectTemplate, names(max_size=20) | st.sampled_from(["größe", "проект", "課題", "x²"])
    )


def domain_patterns() -> st.SearchStrategy[g.DomainPattern]:
    """Domains, `*.` and a domain, addresses."""
    return st.builds(g.DomainPattern, domains() | domains().map("*.{}".format) | addresses())


def membership_controls() -> st.SearchStrategy[g.MembershipControl]:
    """All there are."""
    return st.sampled_from(list(g.MembershipControl))


def links() -> st.SearchStrategy[g.Link]:
    """Links with an id, an address, both, neither."""
    paths = st.sampled_from(["", "/", "/a/b?c=d#e", "/é x", ":8080/"])
    urls = st.builds("{}://{}{}".format, st.sampled_from(["https", "http", "HTTPS"]), domains(), paths)
    return st.builds(g.Link, st.none() | texts(), st.none() | urls)


def notes() -> st.SearchStrategy[g.Note]:
    """Remarks with any text."""
    return st.builds(g.Note, timestamps(), texts(), texts())


def _squeezed(text: str) -> str:
    # A command joins its words by single spaces, inside JSON strings too.
    return " ".join(text.split())


def award_details(*, free_text: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[g.AwardDetails]:
    """Awards with any of their fields.

    Args:
        free_text: What names, descriptions, roles and the like are drawn from. Left out, it is text without
            runs of blanks, which a command carries unchanged.
    """
    words = texts().map(_squeezed) if free_text is None else free_text
    link = st.none() | st.builds(
        g.Link, st.none() | words, links().map(lambda link: link.url and _squeezed(link.url))
    )
    return st.builds(
        g.AwardDetails,
        name=st.none() | words,
        template=st.none() | project_templates(),
        key=st.none() | words,
        description=st.none() | words,
        members=st.none() | st.dictionaries(addresses() | words, words, max_size=3),
        start_date=st.none() | dates(),
        end_date=st.none() | dates(),
        allocation=st.none() | allocations(),
        breakdown=st.dictionaries(words, words, max_size=3),
        award=link,
        call=link,
        project_link=link,
        renewal=link,
        notes=st.lists(st.builds(g.Note, timestamps(), words, words), max_size=2).map(tuple),
        earliest_approve=st.none() | timestamps(),
        membership_control=st.none() | membership_controls(),
        allowed_domains=st.none() | st.lists(domain_patterns(), max_size=3).map(tuple),
    )


# --- reports ------------------------------------------------------------------------------------


# A test learns little from strange users in a report, and drawing them takes most of the time.
_A_FEW_USERS = [g.UserIdentifier(name, "proj", "waldur") for name in ("fred", "jane", "x-1")]


def _users() -> st.SearchStrategy[g.UserIdentifier]:
    known = st.sampled_from(_A_FEW_USERS)
    return st.one_of(known, known, known, user_identifiers())


def _volumes() -> st.SearchStrategy[g.Volume]:
    known = st.sampled_from([g.Volume("home"), g.Volume("scratch"), g.Volume("/x/..")])
    return st.one_of(known, known, known, volumes())


def _map(keys: st.SearchStrategy[Any], values: st.SearchStrategy[T]) -> st.SearchStrategy[dict[Any, T]]:
    return st.dictionaries(keys, values, max_size=2)


_Contents = tuple[Any, ...]
"""What a report says, without saying of which project."""


def daily_usage_reports() -> st.SearchStrategy[g.DailyProjectUsageReport]:
    """Reports of one day, with a few of the many fields at a time."""
    users = st.sampled_from(["fred", "jane", "unknown"]) | texts(max_size=8)
    kinds: Mapping[str, st.SearchStrategy[Any]] = {
        "_Usages": _map(users, usages()),
        "_Groups": _map(texts(max_size=8), _map(users, usages())),
        "_Counts": _map(users, _amounts()),
        "int": _amounts(),
        "bool": st.booleans(),
    }
    annotations = g.DailyProjectUsageReport.__annotations__
    fields = {field.name: kinds[annotations[field.name]] for field in g.DailyProjectUsageReport.json_fields}
    return _days(fields, st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True))


@st.composite
def _days(
    draw: st.DrawFn, fields: Mapping[str, st.SearchStrategy[Any]], chosen: st.SearchStrategy[list[str]]
) -> g.DailyProjectUsageReport:
    return g.DailyProjectUsageReport(**{name: draw(fields[name]) for name in draw(chosen)})


def _usage_contents() -> st.SearchStrategy[_Contents]:
    return st.tuples(_map(dates(), daily_usage_reports()), _map(_users(), local_names()))


def _projects(project: g.ProjectIdentifier | None) -> st.SearchStrategy[g.ProjectIdentifier]:
    return project_identifiers() if project is None else st.just(project)


def project_usage_reports(
    *, project: g.ProjectIdentifier | None = None
) -> st.SearchStrategy[g.ProjectUsageReport]:
    """Reports of a few days and users, of any project or of the one named."""
    return st.builds(_project_usage, _projects(project), _usage_contents())


def _project_usage(project: g.ProjectIdentifier, contents: _Contents) -> g.ProjectUsageReport:
    return g.ProjectUsageReport(project, *contents)


def usage_reports() -> st.SearchStrategy[g.UsageReport]:
    """Reports of a few projects of one portal."""

    def report(portal: str, contents: Mapping[str, _Contents]) -> g.UsageReport:
        reports = [_project_usage(g.ProjectIdentifier(name, portal), each) for name, each in contents.items()]
        return g.UsageReport(g.PortalIdentifier(portal), {each.project: each for each in reports})

    return st.builds(report, names(), _map(names(), _usage_contents()))


def user_usage_reports() -> st.SearchStrategy[g.UserUsageReport]:
    """What single users used."""
    return st.builds(g.UserUsageReport, user_identifiers(), usages())


def _storage_contents() -> st.SearchStrategy[_Contents]:
    volume_quotas = _map(_volumes(), quotas())
    snapshot = st.tuples(timestamps(), volume_quotas, _map(_users(), volume_quotas))
    return st.tuples(snapshot, _map(_users(), local_names()), _map(dates(), snapshot))


def project_storage_reports(
    *, project: g.ProjectIdentifier | None = None
) -> st.SearchStrategy[g.ProjectStorageReport]:
    """Reports of storage with a few quotas, users and snapshots, of any project or of the one named."""
    return st.builds(_project_storage, _projects(project), _storage_contents())


def _project_storage(project: g.ProjectIdentifier, contents: _Contents) -> g.ProjectStorageReport:
    (moment, project_quotas, user_quotas), users, snapshots = contents
    earlier = {date: g.ProjectStorageSnapshot(project, *each) for date, each in snapshots.items()}
    return g.ProjectStorageReport(project, moment, project_quotas, user_quotas, users, earlier)


def storage_reports() -> st.SearchStrategy[g.StorageReport]:
    """Reports of a few projects of one portal."""

    def report(portal: str, contents: Mapping[str, _Contents]) -> g.StorageReport:
        reports = [
            _project_storage(g.ProjectIdentifier(name, portal), each) for name, each in contents.items()
        ]
        return g.StorageReport(g.PortalIdentifier(portal), {each.project: each for each in reports})

    return st.builds(report, names(), _map(names(), _storage_contents()))
