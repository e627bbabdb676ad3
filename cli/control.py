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
from .group import JOB_FAILED, NOT_ANSWERING, NOT_IN_TIME, NOT_RUNNING, Failure

RUNTIME_VARIABLE: Final = "RUNTIME_DIRECTORY"
"""Set by systemd to the service's directory under `/run`."""

RUNTIME_DIRECTORY: Final = Path("/run/templemeads")

ANSWER_SECONDS: Final = 5.0
"""How long a running agent may take for the first line of an answer to a question."""

WORK_SECONDS: Final = 60.0
"""The same for commands that change something: they wait for the store."""

_CHANGES: Final = frozenset({"put", "delete", "restart", "reload", "notify"})
_SILENT: Final = frozenset({"follow"})

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
    """Send a request to the agent; yield what comes back as `("item", …)` and, last, `("end", …)`.

    Args:
        app: Says which agent.
        request: The request.
        seconds: How long to wait for the next answer, or None.

    Raises:
        Failure: No agent runs there, or it refuses.
    """
    path = find_socket(app)
    command = request["do"]
    patience = None if command in _SILENT else WORK_SECONDS if command in _CHANGES else ANSWER_SECONDS
    if seconds is not None:
        patience = seconds if patience is None else min(seconds, patience)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(dict(request)).encode() + b"\n")
        except (TimeoutError, BlockingIOError):
            raise _no_answer(path, patience) from None
        except OSError as error:
            raise _not_running(app, path, error) from None
        with connection.makefile("rb") as lines:
            is_first = True
            while True:
                try:
                    line = lines.readline(MAX_ANSWER_BYTES)
                except TimeoutError:
                    if is_first and patience != seconds:
                        raise _no_answer(path, patience) from None
                    raise Failure(f"No answer within {seconds:g} s", NOT_IN_TIME) from None
                except OSError as error:
                    raise Failure(f"The agent stopped before it answered: {error}", NOT_RUNNING) from None
                if not line.endswith(b"\n"):
                    raise Failure("The agent stopped before it answered", NOT_RUNNING)
                if is_first:
                    is_first = False
                    connection.settimeout(seconds)
                answer = json.loads(line)
                if "error" in answer:
                    raise Failure(str(answer["error"]))
                if "end" in answer:
                    yield "end", answer["end"]
                    return
                yield "item", answer["item"]


def _not_running(app: App, path: Path, error: OSError) -> Failure:
    if isinstance(error, PermissionError):
        return Failure(f"The control socket {path} belongs to another user: run the command as that user")
    advice = f"Start it with: {app.command} run"
    if not app.config_path.exists() and app.socket is None:
        advice = f"There is no configuration {app.config_path.absolute()} either: name one with --config-file"
    return Failure(f"No running agent answers at {path}. {advice}", NOT_RUNNING)


def _no_answer(path: Path, patience: float | None) -> Failure:
    return Failure(
        f"The agent at {path} runs but does not answer within {patience or 0:g} s: a handler blocks it, or its process "
        "is suspended. Its log and 'py-spy dump' show where it hangs",
        NOT_ANSWERING,
    )


def ask_once(app: App, request: Mapping[str, Any]) -> Any:
    """Send a request to the agent, and return its answer."""
    return [value for kind, value in ask(app, request) if kind == "end"][-1]
