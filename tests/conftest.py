"""For the whole suite: no key that a test uses may appear in anything that it logs (`tests.keyguard`)."""

from __future__ import annotations

import logging

import pytest

from tests.keyguard import Keys, Recorder

KEYS = pytest.StashKey[Keys]()


def pytest_configure(config):
    config.stash[KEYS] = keys = Keys()
    keys.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    recorder = Recorder()
    root = logging.getLogger()
    # The command line sets these for its process; here the next test's process is the same.
    level, chatty = root.level, logging.getLogger("trio_websocket")
    chatty_level = chatty.level
    root.addHandler(recorder)
    try:
        outcome = yield
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)
        chatty.setLevel(chatty_level)
    keys = item.config.stash[KEYS]
    leaking = [line for line in recorder.lines if keys.found_in(line)]
    # The line itself is not repeated: the report of a test is a log, too.
    assert not leaking, (
        f"{len(leaking)} lines of the log hold a key; the first has {len(leaking[0])} characters"
    )
    return outcome
