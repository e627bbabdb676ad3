"""Commands that run an agent set up the log of their process; here that is the process of all tests."""

import logging

import pytest


@pytest.fixture(autouse=True)
def log_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("templemeads.endpoint").setLevel(logging.NOTSET)
    logging.getLogger("trio_websocket").setLevel(logging.NOTSET)
    root.manager._clear_cache()
