"""The errand that others are given: a job's JSON goes to another process, and comes back with a result."""

from __future__ import annotations

import json

COMMAND: dict[str, object] = {
    "id": "48ec88f4-592b-45cb-8625-634e913fcfb4",
    "created": 1795526112,
    "changed": 1795526112,
    "expires": 1795526232,
    "version": 2,
    "command": "portal.cluster add_user u1.proj.portal",
    "state": "Pending",
    "result": None,
    "result_type": None,
    "forwarded_for": None,
    "domain": None,
    "domain_version": None,
}
RESULT = {"version": 1002, "state": "Complete", "result": '"account created"', "result_type": "String"}


def asked() -> bytes:
    return json.dumps(COMMAND).encode()


def answered(data: bytes) -> bytes:
    """What the other end does."""
    return json.dumps(json.loads(data) | RESULT).encode()
