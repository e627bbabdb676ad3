import io
import json
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.cli.log import HumanFormatter, JsonFormatter, QueuedHandler, configure_logging
from templemeads.logcontext import bound


def record(message, *arguments, error=None):
    info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("templemeads.link", logging.INFO, "x.py", 1, message, arguments, info)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@given(st.text())
def test_an_event_is_one_line_whatever_is_in_it(text):
    with bound(agent="portal", peer=text[:20]):
        for formatter in (JsonFormatter(), HumanFormatter(coloured=False)):
            line = formatter.format(record("refused %s", text))
            assert line.isprintable()
        assert json.loads(JsonFormatter().format(record("%s", text)))["message"] == text[:8000]


def test_lines_say_which_agent_peer_and_job_they_belong_to():
    with bound(agent="portal", peer="cluster@default", job="0123456789abcdef"):
        line = json.loads(JsonFormatter().format(record("done")))
        assert (line["agent"], line["peer"], line["job"]) == ("portal", "cluster@default", "0123456789abcdef")
        assert (line["level"], line["target"]) == ("INFO", "templemeads.link")
        assert "[portal cluster@default 01234567] link: done" in HumanFormatter(coloured=False).format(
            record("done")
        )


def test_a_traceback_shows_no_local_variables():
    def fails(password):
        raise ValueError("wrong")

    try:
        fails("hunter" + str(2))
    except ValueError as error:
        failed = record("it failed", error=error)
    human = HumanFormatter(coloured=False).format(failed)
    assert "ValueError: wrong" in human
    assert all(line.startswith("    ") for line in human.splitlines()[1:])
    assert "hunter2" not in human + JsonFormatter().format(failed)
    assert JsonFormatter().format(failed).isprintable()


@pytest.mark.parametrize(
    ("stream", "wanted", "environment", "expected"),
    [
        (io.StringIO(), None, {}, JsonFormatter),
        (io.StringIO(), "human", {}, HumanFormatter),
        (Terminal(), None, {}, HumanFormatter),
        (Terminal(), "json", {}, JsonFormatter),
        (Terminal(), None, {"RUST_LOG_FORMAT": "json"}, JsonFormatter),
    ],
)
def test_people_read_on_terminals_and_programs_elsewhere(stream, wanted, environment, expected):
    assert type(configure_logging(None, wanted, stream, environment).formatter) is expected


@pytest.mark.parametrize(
    ("level", "environment", "expected"),
    [
        (None, {}, logging.INFO),
        ("debug", {"RUST_LOG": "error"}, logging.DEBUG),
        (None, {"RUST_LOG": "warn"}, logging.WARNING),
        (None, {"RUST_LOG": "paddington=trace,error"}, logging.ERROR),
        (None, {"RUST_LOG": "nonsense"}, logging.INFO),
    ],
)
def test_the_level_comes_from_the_flag_or_the_environment(level, environment, expected):
    configure_logging(level, None, io.StringIO(), environment)
    assert logging.getLogger().level == expected


def test_colours_are_for_terminals_that_want_them():
    assert "\x1b[" in configure_logging(None, None, Terminal(), {}).formatter.format(record("x"))
    assert "\x1b[" not in configure_logging(None, None, Terminal(), {"NO_COLOR": "1"}).formatter.format(
        record("x")
    )


class StuckPipe:
    """Takes nothing until it is opened."""

    def __init__(self):
        self.opened = threading.Event()
        self.text = ""

    def __call__(self, text):
        self.opened.wait(20)
        self.text += text


def queued(write, most):
    handler = QueuedHandler(write, most)
    handler.setFormatter(HumanFormatter(coloured=False))
    return handler


def test_a_log_that_nobody_reads_blocks_nobody_and_says_later_how_much_was_dropped():
    pipe = StuckPipe()
    handler = queued(pipe, 100)
    for number in range(1_000):
        handler.emit(record("line %d", number))
    assert handler.dropped >= 500
    dropped = handler.dropped
    pipe.opened.set()
    handler.flush()
    assert f"{dropped} log lines were dropped" in pipe.text
    assert handler.dropped == 0
    assert pipe.text.count("link: line") == 1_000 - dropped


def test_a_reader_that_has_gone_ends_nothing():
    def broken(text):
        raise BrokenPipeError

    handler = queued(broken, 100)
    handler.emit(record("one"))
    handler.flush()
    handler.emit(record("two"))
    handler.close()


def test_lines_of_another_thread_carry_the_words_of_the_task_that_logged_and_bad_values_are_named():
    class Bad:
        def __str__(self):
            raise ValueError

    pipe = StuckPipe()
    pipe.opened.set()
    handler = queued(pipe, 100)
    with bound(agent="portal"):
        handler.emit(record("%s", Bad()))
        handler.emit(record("good"))
    handler.flush()
    first, second = pipe.text.splitlines()
    assert first == "a log record of templemeads.link cannot be formatted: ValueError"
    assert "[portal] link: good" in second


def test_fields_of_a_record_are_fields_of_its_json():
    made = record("done")
    made.fields = {"state": "Complete", "seconds": 0.5}
    line = json.loads(JsonFormatter().format(made))
    assert (line["state"], line["seconds"], line["message"]) == ("Complete", 0.5, "done")
