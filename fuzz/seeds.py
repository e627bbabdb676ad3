"""Inputs to begin with: honest ones, so that a fuzzer finds the way in, and those that once went wrong.

What a run of the fuzzer finds is kept as a file `regressions/<target>/<name>` and is tried by the tests ever after.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from fuzz.targets import NOW, TARGETS
from paddington import ServiceConfig
from paddington.config.toml_edit import format_toml
from templemeads import AgentConfig, AgentType
from templemeads.grammar.explain import example
from templemeads.grammar.table import instructions

REGRESSIONS: Final = Path(__file__).with_name("regressions")

_STATUS: Final = {"server_is_secondary": False, "client_is_secondary": False}
_GREETING: Final = {
    "session_key": {"data": "5a" * 32},
    "engine": "e",
    "version": "1",
    "nonce": 1,
    "epoch": 2**63,
}
_DETAILS: Final = {"name": "cluster", "zone": "default", "version": 2, "standby_status": _STATUS, "nonce": 2}


def _job(command: str, state: str = "Pending", **more: object) -> dict[str, object]:
    return {
        "id": "00000000-0000-4000-8000-000000000001",
        "created": NOW,
        "changed": NOW,
        "expires": NOW + 120,
        "version": 2,
        "command": command,
        "state": state,
        "result": None,
        "result_type": None,
        **more,
    }


def _commands() -> list[object]:
    jobs = [
        _job(f"{path} {text}", state)
        for path in ("portal.middle", "mallory.middle.cluster", "portal.middle.cluster", "middle.cluster")
        for text in ("add_user a.b.portal", "get_users a.portal", "submit x.y get_projects portal")
        for state in ("Created", "Pending", "Running", "Complete", "Error", "Duplicate")
    ]
    error = {"kind": "run", "message": "m", "origin": "o"}
    jobs.append(_job("portal.middle.cluster add_user a.b.portal", "Error", error=error, result="m"))
    found: list[object] = [{kind: {"job": job}} for kind in ("Put", "Update", "Delete") for job in jobs]
    found += [
        {"Sync": {"state": {"jobs": jobs[:4]}}},
        {"Register": {"agent": "Portal", "engine": "e", "version": "1.2.3"}},
        {"HealthCheck": {"visited": ["a"]}},
        {"HealthResponse": {"health": {"name": "a", "peers": {}}}},
        {"Restart": {"restart_type": "soft", "destination": "a.b"}},
        {"DiagnosticsRequest": {"destination": "a"}},
        {"DiagnosticsResponse": {"report": {"agent_name": "a"}}},
        {"Notify": {"notification": {"destination": "a.b", "event": "user_added a.b.c"}}},
        {"PortalRoutes": {"routes": [{"portal": "a", "route": "a.b"}], "withdrawn": []}},
        {"Error": {"error": "x"}},
    ]
    return found


def _files() -> list[str]:
    service = ServiceConfig.create("portal", url="ws://portal:8042", ip="127.0.0.1", port=8042)
    invite = service.add_client("cluster", "10.0.0.0/8", type="instance")
    return [
        format_toml(service.to_toml()),
        format_toml(AgentConfig(service, AgentType.PORTAL, extras={"a": "b"}).to_toml()),
        format_toml(invite.to_toml()),
    ]


def seeds_of(target: str) -> list[bytes]:
    """Return the honest inputs of a target, and its regressions."""
    match target:
        case "commands":
            found = [json.dumps(each).encode() for each in _commands()]
        case "grammar":
            examples = [example(row) for row in instructions()]
            found = [text.encode() for each in examples for text in (each, f"portal.cluster {each}")]
            found += [b"portal.cluster", b"portal.cluster user_added a.b.c"]
        case "json_values":
            values = [json.dumps(_job("portal.cluster add_user a.b.c"))]
            values += ['"text"', "true", '{"a.b.c":"x"}', "[]", "1.5e300", '"\\ud800"']
            found = [
                f"{kind} {value}".encode()
                for kind in ("String", "bool", "UserIdentifier", "Vec")
                for value in values
            ]
        case "toml":
            found = [text.encode() for text in _files()]
        case "salts":
            found = [b"openportal-inner-salt:%b\nopenportal-outer-salt:%b" % (b"5a" * 32, b"a5" * 32)]
        case "frames" | "dense_frames":
            found = [
                b'"KEEPALIVE"',
                b'{"nonce":7,"payload":"x"}',
                b"00" * 300,
                b"\x00\x00\x00\x01a\x00\x00\x00\x00",
            ]
        case _:
            found = [json.dumps(each).encode() for each in (_GREETING, _DETAILS, _STATUS, {})] + [b"ab" * 200]
    return found + [path.read_bytes() for path in sorted((REGRESSIONS / target).glob("*"))]


def write(directory: Path) -> None:
    """Write the seeds of every target into directories of their own."""
    for target in TARGETS:
        (directory / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds_of(target)):
            (directory / target / f"seed-{number:04}").write_bytes(seed)
