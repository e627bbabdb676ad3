"""Why something on the network failed, in words."""

import errno
import socket
import ssl

import pytest
import trio

from paddington import ConnectionLostError
from paddington.causes import explain


def wrapped(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionLostError("the peer hung up"), "the peer hung up"),
        (OSError(errno.ECONNREFUSED, "whatever"), "connection refused"),
        (OSError("no number"), "no number"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "the host name has no address: Name or",
        ),
        (trio.TooSlowError(), "nobody answered in time"),
        (trio.TooSlowError("the handshake took too long"), "the handshake took too long"),
        (trio.BrokenResourceError(), "the connection broke"),
        (wrapped(trio.BrokenResourceError(), OSError(errno.ECONNRESET, "x")), "connection reset by peer"),
        (wrapped(trio.BrokenResourceError(), ssl.SSLError(1, "handshake failure")), "TLS failed: "),
        (
            wrapped(
                OSError("all attempts to connect failed"),
                ExceptionGroup("tries", [OSError(errno.ECONNREFUSED, "x"), OSError(errno.ENETUNREACH, "y")]),
            ),
            "connection refused",
        ),
        (ExceptionGroup("g", [ExceptionGroup("h", [ConnectionLostError("inner")])]), "inner"),
        (ValueError("some\nforeign \x1b[31m text"), r'ValueError: "some\nforeign \x1b[31m text"'),
        (ValueError("y" * 5000), 'ValueError: "yyy'),
    ],
)
def test_the_first_real_cause_is_reported_on_one_short_line(error, words):
    told = explain(error)
    assert told.startswith(words)
    assert told.isprintable()
    assert len(told) < 200


def test_a_circle_of_causes_ends():
    one, other = trio.BrokenResourceError(), trio.BrokenResourceError()
    one.__cause__, other.__cause__ = other, one
    assert explain(one) == "the connection broke"
