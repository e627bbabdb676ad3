"""What the scheduler agent says to Slurm and reads from it; pure: words and JSON, no programs, no clock.

Slurm's JSON differs between releases: a number is a plain number, or `{"set": true, "infinite": false, "number": 5}`; a
state is a word or a list of words. The readers here take both, and refuse everything else: a figure that cannot be read
must never count as 0.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from paddington import ConfigError

from ..errors import JobError
from ..grammar.dates import Date
from ..grammar.mappings import ProjectMapping, UserMapping
from ..grammar.usage import Usage
from ..grammar.usage_reports import UNKNOWN_USER, DailyProjectUsageReport
from ..text import quoted

RESOURCES: Final = ("cpu", "gres/gpu", "mem", "billing")
"""The resources of a node, as Slurm names them, in the order in which limits are set."""

_COMPONENTS: Final = {"cpu": "cpu", "gres/gpu": "gpu", "mem": "memory", "billing": "billing"}

_NODE_KEYS: Final = {
    "cpu": ("cpus", "cpu"),
    "gres/gpu": ("gpus", "gpu"),
    "mem": ("mem", "memory_mb", "memory"),
    "billing": ("billing",),
}


@attrs.frozen
class NodeShape:
    """What a node has, by Slurm's name of the resource: limits in node hours become minutes of each of these.

    Attributes:
        amounts: Amount of each resource, above 0; memory in MB.
    """

    amounts: Mapping[str, int]

    @classmethod
    def from_option(cls, text: str) -> NodeShape:
        """Read the option `slurm-default-node`: `{"cpus": 64, "gpus": 4, "mem": 256000, "billing": 64}`.

        Raises:
            ConfigError: It is something else.
        """
        advice = 'write slurm-default-node = \'{"cpus": 64, "gpus": 0, "mem": 256000, "billing": 64}\''
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError(f"The option slurm-default-node is not JSON: {advice}") from None
        if not isinstance(given, dict):
            raise ConfigError(f"The option slurm-default-node must be a JSON object: {advice}")
        amounts = {}
        for resource, keys in _NODE_KEYS.items():
            amount = next((given[key] for key in keys if key in given), 0)
            if type(amount) is not int or not 0 <= amount < 2**32:
                raise ConfigError(f"{quoted(keys[0])} in slurm-default-node must be a whole number: {advice}")
            if resource == "cpu" and type(cores := given.get("cores_per_cpu", 1)) is int and cores > 0:
                amount *= cores
            if amount:
                amounts[resource] = amount
        if "cpu" not in amounts:
            raise ConfigError(f"slurm-default-node must say how many cpus a node has: {advice}")
        return cls(amounts)

    def minutes_of(self, limit: Usage) -> dict[str, int]:
        """Minutes of each resource that an amount of node time stands for; fractions are cut off."""
        return {resource: limit.seconds * amount // 60 for resource, amount in self.amounts.items()}

    def limit_of(self, minutes: Mapping[str, int]) -> Usage | None:
        """Return the node time that minutes of resources stand for, by the one that runs out first; None without a limit."""
        found = [
            minutes[resource] * 60 // amount
            for resource, amount in self.amounts.items()
            if resource in minutes
        ]
        return Usage(min(found)) if found else None

    def share_of(self, allocated: Mapping[str, int]) -> float:
        """The largest share of a node that a job has of any resource; this is what limits run out by."""
        return max((allocated.get(name, 0) / amount for name, amount in self.amounts.items()), default=0.0)


@attrs.frozen
class Settings:
    """How Slurm is called.

    Attributes:
        node: What a node has.
        cluster: Name of the cluster; None if there is only one.
        partition: Count only jobs of this partition.
        parent: The account under which accounts of projects are made.
        sacctmgr: The program, with arguments.
        sacct: Likewise.
        scancel: Likewise.
        runners: How many programs run at once.
    """

    node: NodeShape
    cluster: str | None = None
    partition: str | None = None
    parent: str = "root"
    sacctmgr: tuple[str, ...] = ("sacctmgr",)
    sacct: tuple[str, ...] = ("sacct",)
    scancel: tuple[str, ...] = ("scancel",)
    runners: int = 5

    # -- commands -----------------------------------------------------------------------------------------------

    def list_account(self, account: str) -> list[str]:
        """Look an account up."""
        return [
            *self.sacctmgr,
            "--json",
            "list",
            "accounts",
            "withassoc",
            f"name={account}",
            *self._cluster(),
        ]

    def add_account(self, project: ProjectMapping) -> list[str]:
        """Make the account of a project."""
        return [
            *self.sacctmgr,
            *("--immediate", "add", "account", f"name={project.local_group}"),
            *self._cluster(),
            f"parent={self.parent}",
            "organization=openportal",
            f"description=Account for OpenPortal project {project.project}",
        ]

    def list_user(self, user: str) -> list[str]:
        """Look a user up."""
        return [*self.sacctmgr, "--json", "list", "users", "WithAssoc", f"name={user}", *self._cluster()]

    def add_user(self, user: UserMapping) -> list[str]:
        """Make a user who may use the account of a project."""
        return [
            *self.sacctmgr,
            *("--immediate", "add", "user", f"name={user.local_user}"),
            *self._cluster("Clusters"),
            f"Accounts={user.local_group}",
            f"DefaultAccount={user.local_group}",
            "Comment=Created by OpenPortal",
        ]

    def show_limit(self, account: str) -> list[str]:
        """Look the limits of an account up."""
        return [
            *self.sacctmgr,
            "--json",
            "show",
            "association",
            "where",
            f"account={account}",
            *self._cluster(),
        ]

    def set_limit(self, account: str, limit: Usage) -> list[str]:
        """Limit what an account may use in all."""
        minutes = ",".join(f"{name}={amount}" for name, amount in self.node.minutes_of(limit).items())
        where = ["where", *self._cluster()] if self.cluster else []
        return [
            *self.sacctmgr,
            "--immediate",
            "modify",
            "account",
            account,
            "set",
            f"GrpTRESMins={minutes}",
            *where,
        ]

    def list_jobs(self, account: str, start: str, end: str) -> list[str]:
        """List the jobs of an account between two moments."""
        return [
            *self.sacct,
            *("--noconvert", "--allocations", "--allusers"),
            *(f"--starttime={start}", f"--endtime={end}", f"--account={account}"),
            *([f"--cluster={self.cluster}"] if self.cluster else []),
            *([f"--partition={self.partition}"] if self.partition else []),
            "--json",
        ]

    def cancel_pending(self, *, account: str | None = None, user: str | None = None) -> list[str]:
        """Cancel jobs that wait in the queue: of an account, or of a user."""
        whose = f"--user={user}" if account is None else f"--account={account}"
        cluster = [f"--cluster={self.cluster}"] if self.cluster else []
        return [*self.scancel, "--verbose", whose, "--state=PENDING", *cluster]

    def _cluster(self, word: str = "cluster") -> list[str]:
        return [f"{word}={self.cluster}"] if self.cluster else []


# -- reading -------------------------------------------------------------------------------------------------------------


def read_rows(output: str, key: str, program: str) -> list[Mapping[str, Any]]:
    """Return the rows of a program's JSON.

    Raises:
        JobError: The output is something else, or the program reports an error in it.
    """
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        raise JobError(f"{program} did not write JSON but {quoted(output)}") from None
    rows = document.get(key) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise JobError(f"{program} wrote JSON without a list {quoted(key)}")
    if errors := document.get("errors"):
        raise JobError(f"{program} reports errors: {quoted(json.dumps(errors))}")
    return rows


def has_name(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Whether a row has the name; Slurm keeps names of accounts and users in lower case."""
    return any(str(row.get("name", "")).lower() == name.lower() for row in rows)


def has_association(rows: Iterable[Mapping[str, Any]], user: str, account: str) -> bool:
    """Whether a user may use an account. A user without any list of associations counts as one who may."""
    for row in rows:
        if str(row.get("name", "")).lower() == user.lower():
            associations = row.get("associations")
            if not isinstance(associations, list):
                return True
            return any(str(each.get("account", "")).lower() == account.lower() for each in associations)
    return False


def read_limits(rows: Iterable[Mapping[str, Any]], account: str) -> dict[str, int]:
    """Return the group minutes of each resource that an account, not one of its users, is limited to.

    Raises:
        JobError: A limit cannot be read.
    """
    for row in rows:
        if row.get("user") or str(row.get("account", "")).lower() != account.lower():
            continue
        limits: Any = row
        for step in ("max", "tres", "group", "minutes"):
            limits = limits.get(step, {}) if isinstance(limits, dict) else {}
        return _amounts(limits or [], "sacctmgr")
    return {}


def _amounts(entries: Any, program: str) -> dict[str, int]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise JobError(
            f"{program} wrote resources in a form that is not known: {quoted(json.dumps(entries))}"
        )
    amounts = {}
    for entry in entries:
        name = "/".join(part for part in (entry.get("type"), entry.get("name")) if part)
        if name in RESOURCES and (count := _number(entry.get("count"), f"the amount of {name}")) is not None:
            amounts[name] = count
    return amounts


def _number(value: Any, what: str) -> int | None:
    """Read a number in either of Slurm's forms; None if there is none."""
    if isinstance(value, dict):
        if value.get("infinite") or not value.get("set", True):
            return None
        value = value.get("number")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise JobError(f"Slurm gave {quoted(json.dumps(value))} as {what}, which is not a number")
    return int(value)


@attrs.frozen
class JobRow:
    """What accounting knows of a job.

    Attributes:
        user: The local user.
        submitted: When it was submitted or last became eligible, in seconds since 1970.
        started: When it started; None if it has not.
        ended: When it ended; None if it runs.
        allocated: What it has of each resource.
    """

    user: str
    submitted: int
    started: int | None
    ended: int | None
    allocated: Mapping[str, int]


def read_jobs(rows: Iterable[Mapping[str, Any]], account: str) -> list[JobRow]:
    """Read the jobs of an account.

    Raises:
        JobError: One cannot be read. A job that counted as nothing would make a report look complete that is not.
    """
    return [_read_job(row) for row in rows if str(row.get("account", account)).lower() == account.lower()]


def _read_job(row: Mapping[str, Any]) -> JobRow:
    times = row.get("time")
    if not isinstance(times, dict):
        raise JobError(f"sacct wrote a job without times: {quoted(json.dumps(row)[:200])}")
    started = _number(times.get("start"), "the start of a job") or None
    submitted = max(
        _number(times.get("submission"), "the submission of a job") or 0,
        _number(times.get("eligible"), "the eligibility of a job") or 0,
    )
    if started is not None and submitted > started:
        submitted = started
    tres = row.get("tres") or {}
    return JobRow(
        user=str(row.get("user") or row.get("association", {}).get("user") or UNKNOWN_USER),
        submitted=submitted,
        started=started,
        ended=_number(times.get("end"), "the end of a job") or None,
        allocated=_amounts(tres.get("allocated", []) if isinstance(tres, dict) else tres, "sacct"),
    )


# -- reports ---------------------------------------------------------------------------------------------------------------


@attrs.frozen
class DaySpan:
    """A day of the local calendar in seconds since 1970, as far as it has passed.

    Attributes:
        date: The day.
        start: Its first second.
        end: Its end, or now.
        is_over: Whether it is over.
    """

    date: Date
    start: float
    end: float
    is_over: bool

    @property
    def words(self) -> tuple[str, str]:
        """Start and end in the form of Slurm, in local time."""
        return _local_time(self.start), _local_time(self.end)


def day_spans(dates: Iterable[Date], now: float) -> Iterator[DaySpan]:
    """Yield the days that have begun; days to come are left out. Days have 23 to 25 hours, as the local clock has it."""
    for date in dates:
        start = _midnight(date.toordinal())
        end = _midnight(date.toordinal() + 1)
        if start <= now:
            yield DaySpan(date, start, min(end, now), end <= now)


def _midnight(ordinal: int) -> float:
    # Local time on purpose: accounting's days are those of the cluster's clock.
    return dt.datetime.combine(dt.date.fromordinal(ordinal), dt.time()).timestamp()


def _local_time(moment: float) -> str:
    return dt.datetime.fromtimestamp(int(moment)).isoformat()  # noqa: DTZ006 - Slurm's programs take local times


def day_report(jobs: Sequence[JobRow], day: DaySpan, node: NodeShape) -> DailyProjectUsageReport:
    """Sum up what jobs used within a day. A job over midnight counts on both days, each for its part.

    The usage of a job is the time times the largest share of a node that it has of any resource, so that usage reaches the
    limit when Slurm stops the project. Waiting counts on the day when a job started.
    """
    usage: defaultdict[str, float] = defaultdict(float)
    components: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    counts: defaultdict[str, int] = defaultdict(int)
    waits: defaultdict[str, int] = defaultdict(int)
    for job in jobs:
        if job.started is None:
            continue
        if day.start <= job.started < day.end:
            counts[job.user] += 1
            waits[job.user] += job.started - job.submitted if job.submitted else 0
        seconds = min(day.end, job.ended if job.ended is not None else day.end) - max(day.start, job.started)
        if seconds <= 0:
            continue
        usage[job.user] += seconds * node.share_of(job.allocated)
        for resource, amount in node.amounts.items():
            if allocated := job.allocated.get(resource, 0):
                components[_COMPONENTS[resource]][job.user] += seconds * allocated / amount
    return DailyProjectUsageReport(
        reports={user: Usage(int(seconds)) for user, seconds in usage.items()},
        components={
            name: {user: Usage(int(seconds)) for user, seconds in users.items()}
            for name, users in components.items()
        },
        user_job_counts=dict(counts),
        num_jobs=sum(counts.values()),
        user_wait_seconds={user: seconds for user, seconds in waits.items() if seconds},
        total_wait_seconds=sum(waits.values()),
        is_complete=day.is_over,
    )
