"""Runs the programs of the system: each command a list of words, never a shell.

Tests replace the one class here with recorded outputs, so whatever a role does to a machine passes through `Programs`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import attrs
import trio

from ..errors import JobError

DEFAULT_TIMEOUT_SECONDS: Final = 60.0
"""How long a program may run, unless the role says otherwise."""

MAX_OUTPUT_BYTES: Final = 256 * 1024 * 1024
"""Output of one program. A day of jobs of a busy cluster is some ten megabytes."""

MAX_ERROR_CHARACTERS: Final = 2_000
"""Characters of a program's error output that reach the text of an error."""

_READ_BYTES: Final = 65_536


class ProgramError(JobError):
    """A program failed, was not found, or took too long.

    Attributes:
        status: Its exit status; None if it did not end by itself.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, kind="run")
        self.status = status


@attrs.frozen
class Ran:
    """A program that has ended.

    Attributes:
        words: The command, a word each.
        status: The exit status.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
    """

    words: tuple[str, ...]
    status: int
    output: str = attrs.field(default="", repr=False)
    errors: str = attrs.field(default="", repr=False)

    def require(self, *allowed: int) -> Ran:
        """Return this program if it ended with 0 or one of the other statuses that are allowed.

        Raises:
            ProgramError: It ended otherwise; the message has the whole command and what the program complained about.
        """
        if self.status == 0 or self.status in allowed:
            return self
        reason = (self.errors.strip() or self.output.strip())[:MAX_ERROR_CHARACTERS]
        raise ProgramError(
            f"Command {json.dumps(list(self.words))} failed: {reason or f'exit status {self.status}'}",
            status=self.status,
        )


class Programs(Protocol):
    """What runs programs."""

    async def run(self, words: Sequence[str], *, timeout: float = ..., text: str = ...) -> Ran:
        """Run a program to its end.

        Args:
            words: The program and its arguments.
            timeout: Seconds after which it is killed.
            text: What it reads from its standard input.

        Raises:
            ProgramError: It cannot be started, writes too much, or takes too long.
        """


@attrs.frozen
class SystemPrograms:
    """Runs programs on this machine. A program is killed when whoever waits for it is cancelled.

    Attributes:
        environment: Variables beside those of the agent; messages are in English, so that they can be recognised.
        max_output_bytes: How much a program may write.
    """

    environment: Mapping[str, str] = attrs.field(factory=lambda: {"LC_ALL": "C.UTF-8"}, kw_only=True)
    max_output_bytes: int = attrs.field(default=MAX_OUTPUT_BYTES, kw_only=True)

    async def run(
        self, words: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, text: str = ""
    ) -> Ran:
        """Run a program to its end; see `Programs.run`."""
        command = tuple(words)
        try:
            with trio.fail_after(timeout):
                return await self._run(command, text)
        except trio.TooSlowError:
            raise ProgramError(
                f"Command {json.dumps(list(command))} was killed after {timeout:g} s"
            ) from None
        except ExceptionGroup as group:
            found = _first(group)
            if isinstance(found, ProgramError):
                raise found from None
            if isinstance(found, OSError):
                message = f"Command {json.dumps(list(command))} cannot be run: {found}"
                raise ProgramError(message) from found
            raise

    async def _run(self, command: tuple[str, ...], text: str) -> Ran:
        output, errors = bytearray(), bytearray()
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(
                    trio.run_process,
                    command,
                    stdin=text.encode(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    check=False,
                    env={**os.environ, **self.environment},
                )
            )
            nursery.start_soon(self._read, process.stdout, output, command)
            nursery.start_soon(self._read, process.stderr, errors, command)
        return Ran(
            command, process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")
        )

    async def _read(self, stream: trio.abc.ReceiveStream, into: bytearray, command: tuple[str, ...]) -> None:
        async with stream:
            while chunk := await stream.receive_some(_READ_BYTES):
                into += chunk
                if len(into) > self.max_output_bytes:
                    raise ProgramError(
                        f"Command {json.dumps(list(command))} wrote more than {self.max_output_bytes} bytes"
                    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
