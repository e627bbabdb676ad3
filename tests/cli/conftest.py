"""Commands that run an agent set up the log of their process; here that is the process of all tests."""

import logging

import pytest

from templemeads.cli.log import SWITCHED_OFF


@pytest.fixture(autouse=True)
def log_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    switches = {name: getattr(logging, name, None) for name in SWITCHED_OFF}
    yield
    for name, value in switches.items():
        setattr(logging, name, value)
    root.handlers[:], root.level = handlers, level
    logging.getLogger("trio_websocket").setLevel(logging.NOTSET)
    root.manager._clear_cache()
