"""Real servers for tests: one module for each server, started on first use and stopped at the end.

Everything here has the marker `services` and is left out of `make test`.
"""

from __future__ import annotations

import pytest

from tests.services.postgresql import Server


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/services/" in item.path.as_posix():
            item.add_marker(pytest.mark.services)


@pytest.fixture(scope="session")
def postgresql_server():
    with Server.started() as server:
        yield server


@pytest.fixture
def database(postgresql_server):
    """The URL of an empty database on a server that runs."""
    postgresql_server.start()
    return postgresql_server.new_database()
