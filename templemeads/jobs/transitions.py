"""The states of a job and the steps between them, as a table.

`Job` takes its steps by this table, and the page *jobs* of the documentation prints it. Source: the protocol page *jobs*,
section 1, and *json-types*, section 2.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs


class Status(enum.Enum):
    """Where a job stands; the values are the words on the wire.

    Attributes:
        word: The same as `value`, which an Enum looks up by a function.
        is_finished: Whether this is final.

    """

    CREATED = "Created"
    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    ERROR = "Error"
    DUPLICATE = "Duplicate"

    def __init__(self, word: str) -> None:
        self.word = word
        self.is_finished = word in ("Complete", "Error")


@attrs.frozen(eq=False)
class Transition:
    """A step of a job.

    Attributes:
        name: The method of `Job` that takes it.
        verb: What a job in another state cannot do.
        sources: The states in which a job can take it.
        target: The state afterwards, or None if that is the state of another job, whose result is taken over.
        versions: How much it adds to the job's version. A final result adds 1000, so that it beats all progress that
            was reported on the way.
        meaning: When it is taken, for the documentation.

    """

    name: str
    verb: str
    sources: tuple[Status, ...]
    target: Status | None
    versions: int
    meaning: str


PENDING: Final = Transition(
    "pending", "put", (Status.CREATED,), Status.PENDING, 1, "it is put on the board of a peer"
)
RUNNING: Final = Transition(
    "running",
    "run",
    (Status.PENDING, Status.RUNNING),
    Status.RUNNING,
    1,
    "the handler has started, or reports progress",
)
COMPLETED: Final = Transition(
    "completed",
    "complete",
    (Status.PENDING, Status.RUNNING),
    Status.COMPLETE,
    1000,
    "the handler has returned a value",
)
ERRORED: Final = Transition(
    "errored",
    "fail",
    (Status.PENDING, Status.RUNNING, Status.DUPLICATE),
    Status.ERROR,
    1000,
    "the handler or an agent on the way has failed, or time has run out",
)
DUPLICATE: Final = Transition(
    "duplicate_of",
    "become a duplicate",
    (Status.PENDING,),
    Status.DUPLICATE,
    1,
    "the same command is pending already: it waits for that job's result",
)
REINSTATED: Final = Transition(
    "reinstated",
    "be reinstated",
    (Status.DUPLICATE,),
    Status.PENDING,
    1,
    "the job that it waited for was deleted or has expired",
)
COPIED: Final = Transition(
    "copy_result_of",
    "copy a result",
    (Status.DUPLICATE, Status.PENDING, Status.RUNNING),
    None,
    1000,
    "the job that it waited for is finished",
)
ENDED: Final = Transition(
    "ended_as",
    "end",
    (Status.PENDING, Status.RUNNING, Status.DUPLICATE),
    None,
    1000,
    "the handler has returned a finished job that it made from an earlier state",
)
UNSENDABLE: Final = Transition(
    "unsendable",
    "be replaced by an error",
    tuple(Status),
    Status.ERROR,
    1000,
    "it is too large for a peer on its path",
)

TRANSITIONS: Final = (
    PENDING,
    RUNNING,
    COMPLETED,
    ERRORED,
    DUPLICATE,
    REINSTATED,
    COPIED,
    ENDED,
    UNSENDABLE,
)


def markdown() -> str:
    """Return the table as the documentation prints it."""
    lines = ["| from | step | to | version | when |", "|---|---|---|---|---|"]
    for step in TRANSITIONS:
        sources = "any" if len(step.sources) == len(Status) else ", ".join(one.value for one in step.sources)
        target = "as the other job" if step.target is None else step.target.value
        lines.append(f"| {sources} | `{step.name}` | {target} | + {step.versions} | {step.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
