"""Finds the handler that a command line or a configuration names: `package.module:name` or `path/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import stat
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from .group import Failure

if TYPE_CHECKING:
    from templemeads import Handler


def load_handler(spec: str, base: Path, *, search_base: bool = False) -> Handler:
    """Import a handler.

    Args:
        spec: Where it is. The working directory is not searched for a module.
        base: The directory that a relative path of a file starts from.
        search_base: Whether a module may also be in that directory, if only its owner can write there.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise Failure(f"{spec!r} does not name a handler: write package.module:name, or path/file.py:name")
    if search_base and base.is_dir():
        _make_importable(base.resolve())
    module = _from_file(base / place) if place.endswith(".py") else _from_module(place)
    handler = getattr(module, name, None)
    if handler is None:
        raise Failure(f"{place} has nothing called {name!r}: {_candidates(module)}")
    if not callable(handler):
        raise Failure(
            f"{name!r} in {place} is not a handler: it must be an async function, or a Handlers table"
        )
    return cast("Handler", handler)


def source_of(spec: str, base: Path) -> Path | None:
    """Return the directory to be watched for changes of a handler, or None if there is none."""
    place = spec.rpartition(":")[0]
    if place.endswith(".py"):
        return (base / place).resolve().parent
    if (base / place.partition(".")[0]).is_dir():
        return (base / place.partition(".")[0]).resolve()
    try:
        found = importlib.util.find_spec(place.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None or "site-packages" in found.origin:
        return None
    return Path(found.origin).resolve().parent


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise Failure(
                f"There is no module {name!r}. Install it (pip install -e .), "
                "or name its file: --handler ./path/file.py:name"
            ) from None
        raise _broken(name, error) from None
    except Exception as error:  # noqa: BLE001 - whatever the module does when it is imported
        raise _broken(name, error) from None


def _from_file(path: Path) -> ModuleType:
    try:
        status = path.stat()
    except OSError as error:
        raise Failure(f"Cannot read the handler's file {path}: {error.strerror}") from None
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise Failure(
            f"The handler's file {path} is writable by other users, who could make this agent run anything"
        )
    name = path.stem if _is_free(path.stem) else "templemeads_handler"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise Failure(f"{path} is not a Python file")
    _make_importable(path.resolve().parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - whatever the file does when it is run
        raise _broken(str(path), error) from None
    return module


def _is_free(name: str) -> bool:
    """Whether a module may be called this without hiding another one, such as `json`."""
    return name.isidentifier() and name not in sys.stdlib_module_names and name not in sys.modules


def _make_importable(directory: Path) -> None:
    """Let a handler import the modules beside it; last, so that they hide none that is installed.

    A directory in which other users can create files is left out: they could add a module that the handler then imports.
    """
    status = directory.stat()
    if (
        status.st_uid in (0, os.geteuid())
        and not status.st_mode & stat.S_IWOTH
        and str(directory) not in sys.path
    ):
        sys.path.append(str(directory))


def _broken(place: str, error: Exception) -> Failure:
    where = ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and "importlib" not in trace.tb_frame.f_code.co_filename:
        where = f", line {trace.tb_lineno} of {trace.tb_frame.f_code.co_filename}"
    advice = ""
    if isinstance(error, ModuleNotFoundError):
        advice = ". Install it (pip install), or put it beside the handler's file, in a directory only writable by its owner"
    elif isinstance(error, ImportError) and "relative import" in str(error):
        advice = ". Relative imports need the handler's module: --handler package.module:name"
    return Failure(
        f"Cannot import the handler's module {place}: {type(error).__name__}: {error}{where}{advice}"
    )


def _candidates(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]
    return f"there are {', '.join(sorted(names)[:10])}" if names else "there is nothing that could be one"
