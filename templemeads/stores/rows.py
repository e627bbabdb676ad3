"""What a store writes: one row for each job or deleted job, one for each count of handler starts.

Each row has a checksum over all its fields, so that a damaged one is refused and never becomes a job. The same rows go to
every engine, which is how a store moves from one to another.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import attrs

from paddington import Peer

from ..errors import StoreError
from ..jobs.job import Job
from ..jobs.outcome import Erase, Write

Key = tuple[str, str, bytes]
"""Name and zone of the peer, and the 16 bytes of the job's id."""

RawKey = tuple[bytes, bytes, bytes]
"""The same as it lies in a row, which may be damaged: texts as UTF-8."""

JobRow = tuple[bytes, bytes, bytes, int, bytes, int]
"""Name and zone of the peer, id, whether deleted, JSON of the job (texts as UTF-8), checksum."""

StartRow = tuple[bytes, bytes, bytes, int, int]
"""Name and zone of the peer, id, number of starts, checksum."""

_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a text that is no job can raise."""


def checksum(*fields: bytes | int) -> int:
    """Return the CRC-32 of fields; the order and the borders of the fields count."""
    crc = 0
    for field in fields:
        data = field if isinstance(field, bytes) else b"%d" % field
        crc = zlib.crc32(data, zlib.crc32(b"%d:" % len(data), crc))
    return crc


def utf8(text: str) -> bytes:
    """Encode a text; half of a surrogate pair, which has no UTF-8 form, becomes replacement characters.

    Texts are made harmless before they get here; this is the last defence, because a commit that cannot be encoded would
    end the agent.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def key_of(change: Write | Erase) -> Key:
    """Return the key of the row that a change is about."""
    job_id = change.job.id if isinstance(change, Write) else change.job_id
    return change.peer.name, change.peer.zone, job_id.bytes


def ends_starts(change: Write | Erase) -> bool:
    """Whether starts need no longer be counted after this change: no handler will be called for the job."""
    return isinstance(change, Erase) or change.deleted or change.job.is_finished


def job_row(write: Write) -> JobRow:
    """Return the row of a job."""
    name, zone, job_id = key_of(write)
    fields = (utf8(name), utf8(zone), job_id, int(write.deleted), utf8(write.job.canonical()))
    return (*fields, checksum(*fields))


def start_row(key: Key, count: int) -> StartRow:
    """Return the row of a count of starts."""
    fields = (utf8(key[0]), utf8(key[1]), key[2], count)
    return (*fields, checksum(*fields))


def read_job(row: JobRow) -> Write:
    """Return the job of a row.

    Raises:
        ValueError: The row is damaged; the message says how.
    """
    name, zone, _, deleted, text, _ = row
    try:
        if checksum(*row[:-1]) != row[-1]:
            raise ValueError("its checksum is wrong")
        return Write(
            Peer(name.decode(), zone.decode()), Job.from_json(json.loads(text)), deleted=bool(deleted)
        )
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def describe(row: JobRow | StartRow) -> str:
    """Name the job of a row that may be damaged."""
    name, zone, _ = raw_key(row)
    peer = b"%s@%s" % (name, zone)
    return f"{job_id_of(row)} on the board of {ascii(peer.decode(errors='replace'))[1:-1]}"


def job_id_of(row: JobRow | StartRow) -> str:
    """Return the id of a row that may be damaged."""
    job_id = raw_key(row)[2]
    return str(UUID(bytes=job_id)) if len(job_id) == 16 else job_id.hex()


def raw_key(row: JobRow | StartRow) -> RawKey:
    """Return the key of a row that may be damaged."""
    found: tuple[object, ...] = row[:3]  # a damaged row can hold anything
    name, zone, job_id = (field if isinstance(field, bytes) else b"" for field in found)
    return name, zone, job_id


def read_starts(rows: Iterable[StartRow]) -> dict[Key, int]:
    """Return the counts of starts. A damaged count is skipped: the worst is that a handler gets one more try."""
    return {
        (row[0].decode(), row[1].decode(), row[2]): row[3] for row in rows if checksum(*row[:-1]) == row[-1]
    }


def read_jobs(rows: Iterable[JobRow], store: str) -> list[Write]:
    """Return the jobs of rows, oldest first.

    Raises:
        StoreError: A row is damaged; the message says what to do.
    """
    jobs = []
    for row in rows:
        try:
            jobs.append(read_job(row))
        except ValueError as error:
            raise StoreError(
                f"{store} holds a job that cannot be read, {describe(row)}: {error}. Restore the file from a backup, "
                f"or remove this job with 'store drop', or move the file away to start with empty boards"
            ) from error
    jobs.sort(key=lambda write: write.job.created)
    return jobs


def _raw(key: Key) -> RawKey:
    return utf8(key[0]), utf8(key[1]), key[2]


@attrs.frozen
class StartCount:
    """A change of a count of handler starts; 0 forgets it."""

    key: Key
    count: int


@attrs.frozen
class Batch:
    """What one commit writes, at most one change for each key.

    Attributes:
        number: How many commits the store has had, this one included. It lies in the database too, so that lost
            commits are noticed.
        jobs: Rows to insert or replace.
        erased: Keys of rows to delete.
        starts: Counts of handler starts to insert or replace.
        cleared: Keys of counts to delete.
    """

    number: int
    jobs: Sequence[JobRow] = ()
    erased: Sequence[RawKey] = ()
    starts: Sequence[StartRow] = ()
    cleared: Sequence[RawKey] = ()

    @classmethod
    def of(cls, number: int, changes: Iterable[Write | Erase | StartCount]) -> Batch:
        """Return the batch of a sequence of changes: of several changes with one key, the last."""
        last: dict[Key, Write | Erase] = {}
        counts: dict[Key, int] = {}
        for change in changes:
            if isinstance(change, StartCount):
                counts[change.key] = change.count
            else:
                last[key_of(change)] = change
        return cls(
            number,
            [job_row(change) for change in last.values() if isinstance(change, Write)],
            [_raw(key) for key, change in last.items() if isinstance(change, Erase)],
            [start_row(key, count) for key, count in counts.items() if count],
            [_raw(key) for key, count in counts.items() if not count],
        )
