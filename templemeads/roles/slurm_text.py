"""Slurm without JSON: some releases are built without it. The same questions and rows in parsable text; pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import JobError
from ..text import quoted

FORMATS: Final[Mapping[str, str]] = {
    "accounts": "Account",
    "users": "User,Account",
    "associations": "Account,User,GrpTRESMins",
    "jobs": "User,Account,Submit,Eligible,Start,End,AllocTRES",
}
"""The columns of each kind of rows; those without a name in them are asked for with `format`."""

_ABSENT: Final = frozenset({"", "Unknown", "None", "N/A"})
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTP]?)")
_MEGABYTES: Final = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


def lacks_json(status: int, errors: str) -> bool:
    """Whether a program failed because it cannot write JSON."""
    return (
        status != 0
        and "json" in errors.lower()
        and any(
            word in errors.lower()
            for word in ("unrecognized option", "invalid option", "plugin", "not supported")
        )
    )


def parsable(words: Sequence[str], key: str) -> list[str]:
    """Turn a question that asks for JSON into one that asks for columns."""
    plain = [word for word in words if word != "--json"]
    start = len(words) - len(plain) and words.index("--json")
    columns = FORMATS[key]
    if key == "jobs":
        return [*plain, "--noheader", "--parsable2", f"--format={columns}"]
    return [*plain[:start], "--noheader", "--parsable2", *plain[start:], f"format={columns}"]


def read_columns(output: str, key: str, program: str) -> list[Mapping[str, Any]]:
    """Read rows into the form that they have in JSON.

    Raises:
        JobError: A row has another number of columns, or something in it cannot be read.
    """
    count = FORMATS[key].count(",") + 1
    rows = []
    for line in output.splitlines():
        if not line.strip():
            continue
        columns = line.split("|")
        if len(columns) != count:
            raise JobError(f"{program} wrote {quoted(line)}, which does not have {count} columns")
        rows.append(_ROWS[key](columns))
    return list(_merged_users(rows)) if key == "users" else rows


def _account(columns: list[str]) -> Mapping[str, Any]:
    return {"name": columns[0]}


def _user(columns: list[str]) -> Mapping[str, Any]:
    return {"name": columns[0], "associations": [{"account": columns[1]}] if columns[1] else []}


def _merged_users(rows: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    merged: dict[str, list[Any]] = {}
    for row in rows:
        merged.setdefault(row["name"], []).extend(row["associations"])
    for name, associations in merged.items():
        yield {"name": name, "associations": associations}


def _association(columns: list[str]) -> Mapping[str, Any]:
    minutes = _resources(columns[2])
    return {"account": columns[0], "user": columns[1], "max": {"tres": {"group": {"minutes": minutes}}}}


def _job(columns: list[str]) -> Mapping[str, Any]:
    user, account, submitted, eligible, start, end, allocated = columns
    times = {"submission": submitted, "eligible": eligible, "start": start, "end": end}
    return {
        "user": user,
        "account": account,
        "time": {name: _moment(text) for name, text in times.items()},
        "tres": {"allocated": _resources(allocated)},
    }


_ROWS: Final = {"accounts": _account, "users": _user, "associations": _association, "jobs": _job}


def _moment(text: str) -> int:
    """Read a time: seconds since 1970, or local time as Slurm writes it; 0 if there is none."""
    if text in _ABSENT:
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return int(dt.datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise JobError(f"Slurm gave {quoted(text)} as a time, which cannot be read") from None


def _resources(text: str) -> list[Mapping[str, Any]]:
    """Read `cpu=1,mem=100M,gres/gpu=2`; memory in MB, and what is after a slash is the name."""
    found: list[Mapping[str, Any]] = []
    for entry in filter(None, text.split(",")):
        name, _, amount = entry.partition("=")
        match = _AMOUNT.fullmatch(amount)
        if match is None:
            raise JobError(f"Slurm gave {quoted(entry)} as an amount, which cannot be read")
        kind, _, rest = name.partition("/")
        factor = _MEGABYTES[match[2]] if kind == "mem" else {"": 1, "K": 10**3, "M": 10**6}.get(match[2])
        if factor is None:
            raise JobError(f"Slurm gave {quoted(entry)} as an amount, which cannot be read")
        found.append({"type": kind, "name": rest, "count": int(float(match[1]) * factor)})
    return found
