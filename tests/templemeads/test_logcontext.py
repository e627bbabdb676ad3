import logging

import trio
import trio.lowlevel

from templemeads.logcontext import RecentLogs, bound, bound_words, level_word


async def test_words_are_inherited_by_the_tasks_that_are_started_meanwhile():
    seen = []

    async def task():
        await trio.lowlevel.checkpoint()
        seen.append(dict(bound_words()))

    async with trio.open_nursery() as nursery:
        with bound(agent="portal"), bound(peer="cluster@default"):
            nursery.start_soon(task)
        nursery.start_soon(task)
        assert bound_words() == {}
    assert sorted(seen, key=len) == [{}, {"agent": "portal", "peer": "cluster@default"}]


def log_with(handler):
    logger = logging.Logger("test", logging.DEBUG)  # noqa: LOG001 - one of its own, outside of the tree
    logger.addHandler(handler)
    return logger


def test_the_latest_records_are_kept_newest_first():
    recent = RecentLogs(most=3)
    logger = log_with(recent)
    for number in range(5):
        logger.info("line %d", number)
    assert [entry["message"] for entry in recent.newest("x")] == ["line 4", "line 3", "line 2"]


def test_nobody_sees_lines_of_another_agent_and_peers_none_of_other_peers():
    recent = RecentLogs()
    logger = log_with(recent)
    with bound(agent="me"):
        logger.info("mine")
        with bound(peer="a@default"):
            logger.info("of a")
        with bound(peer="b@default"):
            logger.info("of b")
    with bound(agent="another"):
        logger.info("another's")
    assert [entry["message"] for entry in recent.newest("me")] == ["of b", "of a", "mine"]
    assert [entry["message"] for entry in recent.newest("me", asker="a@default")] == ["of a", "mine"]


def test_a_kept_line_cannot_be_forged():
    recent = RecentLogs()
    log_with(recent).warning("name %s", "x\n12:00 ERROR all is lost\x1b[2J")
    assert recent.newest("x")[0]["message"].isprintable()


def test_levels_have_the_words_of_the_protocol():
    words = [
        level_word(level)
        for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 5)
    ]
    assert words == ["ERROR", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"]
