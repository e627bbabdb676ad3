"""A synchronous client of a running agent on the same machine: for scripts, notebooks and web frameworks.

    client = Client("portal.toml")
    print(client.put("portal.cluster add_user fred.proj.portal").wait(timeout=60))

It talks to the agent's control socket (`docs/control-socket.md`) and needs only the standard library: no event loop.
Each call opens a connection of its own, so a client can be shared between threads.
"""

from __future__ import annotations

import json
import os
import socket
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import JobError, TemplemeadsError

PROTOCOL: Final = 1
"""Version of the control socket's protocol."""

ANSWER_SECONDS: Final = 60.0
"""How long an agent may take for an answer, unless the client was made with another time."""

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024

__all__ = ["Client", "ClientError", "ClientJob"]


class ClientError(TemplemeadsError):
    """No agent answers at the control socket, or it refuses the request."""


@dataclass(frozen=True)
class ClientJob:
    """A job as the agent showed it last.

    Attributes:
        id: Its id.
        command: The path and the instruction.
        state: ``Pending``, ``Running``, ``Complete``, ``Error`` or ``Duplicate``.
        value: The result, the error message or the progress, as a string or None.
        fields: Everything that the agent says of it, by name.

    """

    id: str
    command: str
    state: str
    value: str | None
    fields: Mapping[str, Any] = field(repr=False)
    _client: Client = field(repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether it has a result or an error."""
        return self.state in ("Complete", "Error")

    def wait(self, timeout: float | None = None) -> str | None:
        """Wait for the result and return it.

        Args:
            timeout: Seconds to wait; by default, until the job expires.

        Raises:
            JobError: The job failed.
            TimeoutError: The time is over. The job goes on.
            ClientError: The agent does not answer.

        """
        for job in self.updates(timeout):
            if job.state == "Error":
                raise JobError(
                    job.value or "The job failed without a message",
                    kind=job.fields.get("error_kind") or "unknown",
                )
            if job.is_finished:
                return job.value
        raise ClientError("The agent stopped before the job was finished")

    def updates(self, timeout: float | None = None) -> Iterator[ClientJob]:
        """Yield the job as it is now and after each change, until it is finished.

        Raises:
            TimeoutError: The time is over. The job goes on.
            ClientError: The agent does not answer.

        """
        if self.is_finished:
            yield self
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        for rows in self._client.request(
            {"do": "job", "id": self.id, "wait": True}, deadline=deadline, is_long=True
        ):
            yield self._client._job(rows[0])  # noqa: SLF001 - one module

    def delete(self) -> None:
        """Delete the job; every agent on its path forgets it.

        Raises:
            ClientError: It was put elsewhere, or the agent does not answer.

        """
        self._client.delete(self.id)


class Client:
    """Talks to a running agent.

    Args:
        config: The agent's configuration file, which says where its control socket is.
        socket_path: The control socket, if it is elsewhere.
        seconds: How long the agent may take for an answer.

    """

    def __init__(
        self,
        config: str | os.PathLike[str] | None = None,
        *,
        socket_path: str | os.PathLike[str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        if (config is None) == (socket_path is None):
            raise TypeError('Name either the configuration or the socket: Client("portal.toml")')
        self.socket_path = Path(socket_path) if socket_path is not None else _socket_of(Path(config or ""))
        self._seconds = seconds

    def put(self, command: str, *, zone: str | None = None, lifetime: float | None = None) -> ClientJob:
        """Put a job.

        Args:
            command: ``<path> <instruction>``; the path begins with this agent.
            zone: Zone of the next agent; needed only if its name is in several.
            lifetime: Seconds until the job expires; two minutes by default.

        Raises:
            ClientError: The agent refuses it, or does not answer.

        """
        request: dict[str, Any] = {"do": "put", "command": command, "zone": zone}
        if lifetime is not None:
            request["lifetime"] = lifetime
        return self._job(self._only(request))

    def jobs(self, *, limit: int | None = None) -> list[ClientJob]:
        """Return the jobs on all boards, the last changed first."""
        request: dict[str, Any] = {"do": "jobs"}
        if limit is not None:
            request["limit"] = limit
        return [self._job(row) for row in self._only(request)]

    def job(self, job_id: str) -> ClientJob:
        """Return a job by its id or the beginning of it.

        Raises:
            ClientError: No board holds one, or several.

        """
        return self._job(self._only({"do": "job", "id": job_id})[0])

    def delete(self, job_id: str) -> None:
        """Delete a job that was put at this agent.

        Raises:
            ClientError: It was put elsewhere, or there is none.

        """
        self._only({"do": "delete", "id": job_id})

    def status(self) -> Mapping[str, Any]:
        """Return the figures of the agent, its store and its peers."""
        status: Mapping[str, Any] = self._only({"do": "status"})
        return status

    def follow(self) -> Iterator[ClientJob]:
        """Yield every job that changes on any board from now on, without an end."""
        for row in self.request({"do": "follow"}, is_long=True):
            yield self._job(row)

    def request(
        self, request: Mapping[str, Any], *, deadline: float | None = None, is_long: bool = False
    ) -> Iterator[Any]:
        """Send a request of the control protocol; yield each item, and last what the answer ends with.

        Args:
            request: The request; its field ``do`` names the command.
            deadline: When to give up, on `time.monotonic`.
            is_long: Whether to wait for each item without a limit.

        Raises:
            ClientError: The agent refuses, does not answer, or stops.
            TimeoutError: The deadline has come.

        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._seconds)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(json.dumps({"protocol": PROTOCOL, **request}).encode() + b"\n")
            except OSError as error:
                raise ClientError(
                    f"No running agent answers at {self.socket_path}: {error.strerror or error}"
                ) from error
            with connection.makefile("rb") as lines:
                while True:
                    kind, value = self._answer(connection, lines, deadline, is_long=is_long)
                    yield value
                    if kind == "end":
                        return

    def _answer(
        self, connection: socket.socket, lines: Any, deadline: float | None, *, is_long: bool
    ) -> tuple[str, Any]:
        patience = None if is_long else self._seconds
        if deadline is not None:
            patience = max(deadline - time.monotonic(), 0.001)
        connection.settimeout(patience)
        try:
            line: bytes = lines.readline(MAX_ANSWER_BYTES)
        except TimeoutError:
            if deadline is not None:
                raise TimeoutError("The job is not finished; it goes on") from None
            raise ClientError(
                f"The agent at {self.socket_path} does not answer within {patience:g} s"
            ) from None
        except OSError as error:
            raise ClientError(f"The agent stopped before it answered: {error}") from error
        if not line.endswith(b"\n"):
            raise ClientError("The agent stopped before it answered")
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(str(answer["error"]))
        return ("end", answer["end"]) if "end" in answer else ("item", answer["item"])

    def _only(self, request: Mapping[str, Any]) -> Any:
        *_, end = self.request(request)
        return end

    def _job(self, row: Mapping[str, Any]) -> ClientJob:
        command = row.get("command") or ""
        return ClientJob(row["id"], command, row["state"], row["value"], row, self)


def _socket_of(config: Path) -> Path:
    try:
        with config.open("rb") as file:
            named = tomllib.load(file).get("control")
    except (OSError, ValueError) as error:
        raise ClientError(f"Cannot read the configuration {config}: {error}") from error
    if isinstance(named, str):
        return config.absolute().parent / named
    beside = config.absolute().with_suffix(".sock")
    under_run = Path("/run/templemeads") / config.stem / f"{config.stem}.sock"
    return under_run if under_run.exists() and not beside.exists() else beside
