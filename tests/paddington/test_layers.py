"""What may know about what, and what the door of paddington shows."""

import ast
import tomllib
from pathlib import Path

import pytest

import paddington
from paddington import service

ROOT = Path(paddington.__file__).parent

PURE = [
    "address",
    "backoff",
    "errors",
    "gate",
    "limits",
    "messages",
    "names",
    "peer",
    "refusals",
    "text",
    "url",
]
CORE = [
    "codec",
    "crypto",
    "dense",
    "details",
    "envelope",
    "handshake",
    "jsontext",
    "replay",
    "salts",
    "session",
]


def imports(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_one_module_alone_knows_the_websocket_library():
    users = [path.name for path in ROOT.glob("*.py") if {"trio_websocket", "wsproto", "h11"} & imports(path)]
    assert users == ["websocket.py"]


def test_one_module_alone_opens_files():
    users = []
    for path in ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in {"open", "os.open", "io.open"} or name.endswith((".write_text", ".read_text")):
                    users.append(path.name)
    assert set(users) <= {"files.py"}


@pytest.mark.parametrize("module", PURE + CORE)
def test_the_pure_core_knows_no_trio_and_reads_no_clock(module):
    assert not imports(ROOT / f"{module}.py") & {"trio", "time", "socket", "threading", "subprocess"}


def test_nothing_of_the_floors_above_is_known_here():
    for path in ROOT.glob("*.py"):
        assert not imports(path) & {"templemeads", "cli"}, path.name


def test_the_door_shows_what_it_says():
    assert sorted(paddington.__all__) == paddington.__all__
    for name in paddington.__all__:
        assert getattr(paddington, name).__doc__, name
    wanted = {
        "Invite",
        "Key",
        "ServiceConfig",
        "Peer",
        "Connected",
        "Received",
        "Disconnected",
        "open_service",
        "PaddingtonError",
        "Connection",
        "Limits",
        "Service",
        "ServerConfig",
        "ClientConfig",
    }
    assert wanted <= set(paddington.__all__)


def test_the_version_that_peers_are_told_is_that_of_the_package():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert project["project"]["version"] == service.VERSION
