"""Asks the running agent on this machine through its control socket. Imports little, so that commands start quickly."""

from __future__ import annotations

import json
import os
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .app import App
from .group import JOB_FAILED, NOT_IN_TIME, NOT_RUNNING, Failure

RUNTIME_VARIABLE: Final = "RUNTIME_DIRECTORY"
"""Set by systemd to the service's directory under ``/run``."""

RUNTIME_DIRECTORY: Final = Path("/run/templemeads")

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024

__all__ = ["JOB_FAILED", "ask", "ask_once", "find_socket", "server_socket"]


def server_socket(named: Path | None, config_path: Path, configured: str | None) -> Path:
    """Return the path at which a running agent creates its control socket.

    What was named counts first, then what the configuration says, then the runtime directory that systemd gives; without
    all of them it is beside the configuration.
    """
    if named is not None:
        return named.absolute()
    if configured is not None:
        return config_path.absolute().parent / configured
    runtime = os.environ.get(RUNTIME_VARIABLE)
    if runtime:
        return Path(runtime.split(":")[0]) / f"{config_path.stem}.sock"
    return config_path.absolute().with_suffix(".sock")


def find_socket(app: App) -> Path:
    """Return the path at which a command looks for the control socket."""
    path = server_socket(app.socket, app.config_path, None if app.socket else _configured(app.config_path))
    under_run = RUNTIME_DIRECTORY / app.config_path.stem / f"{app.config_path.stem}.sock"
    if not path.exists() and app.socket is None and under_run.exists():
        return under_run
    return path


def _configured(config_path: Path) -> str | None:
    try:
        with config_path.open("rb") as file:
            value = tomllib.load(file).get("control")
    except OSError:
        return None
    except ValueError:
        return None  # 'config check' says what is wrong with it; the agent may run all the same
    return value if isinstance(value, str) else None


def ask(app: App, request: Mapping[str, Any], *, seconds: float | None = None) -> Iterator[tuple[str, Any]]:
    """Send a request to the agent; yield what comes back as ``("item", …)`` and, last, ``("end", …)``.

    Args:
        app: Says which agent.
        request: The request.
        seconds: How long to wait for the next answer, or None.

    Raises:
        Failure: No agent runs there, or it refuses.

    """
    path = find_socket(app)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except OSError as error:
            if isinstance(error, PermissionError):
                raise Failure(
                    f"The control socket {path} belongs to another user: run the command as that user"
                ) from None
            advice = f"Start it with: {app.command} run"
            if not app.config_path.exists() and app.socket is None:
                advice = f"There is no configuration {app.config_path.absolute()} either: name one with --config-file"
            raise Failure(f"No running agent answers at {path}. {advice}", NOT_RUNNING) from None
        connection.sendall(json.dumps(dict(request)).encode() + b"\n")
        connection.settimeout(seconds)
        with connection.makefile("rb") as lines:
            while True:
                try:
                    line = lines.readline(MAX_ANSWER_BYTES)
                except TimeoutError:
                    raise Failure(f"No answer within {seconds:g} s", NOT_IN_TIME) from None
                if not line.endswith(b"\n"):
                    raise Failure("The agent stopped before it answered", NOT_RUNNING)
                answer = json.loads(line)
                if "error" in answer:
                    raise Failure(str(answer["error"]))
                if "end" in answer:
                    yield "end", answer["end"]
                    return
                yield "item", answer["item"]


def ask_once(app: App, request: Mapping[str, Any]) -> Any:
    """Send a request to the agent, and return its answer."""
    return [value for kind, value in ask(app, request) if kind == "end"][-1]
