"""Addresses of services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from paddington.config.url import Url


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        # The table of the protocol page *configuration*, section 1.8.
        ("ws://localhost:8090", "ws://localhost:8090/"),
        ("http://localhost:8080", "ws://localhost:8080/"),
        ("wss://h.example:8042/socket", "wss://h.example:8042/socket"),
        ("https://h.example/socket", "wss://h.example"),
        ("http://localhost:80", "ws://localhost"),
        ("WSS://H.Example:443/x", "wss://h.example"),
        ("https://h.example:80", "wss://h.example:80/"),
        ("ws://user:pass@h.example:8042/a?q=1#f", "ws://h.example:8042/a"),
        ("ws://[2001:db8::1]:8042", "ws://[2001:db8::1]:8042/"),
        ("ws://[2001:db8::1]", "ws://[2001:db8::1]"),
        ("http://:8042", "ws://localhost:8042/"),
        ("ws://127.0.0.1:0", "ws://127.0.0.1:0/"),
        ("tcp://example.org:99/x", "wss://example.org:99/x"),
        ("ftp://h.example", "wss://h.example"),
    ],
)
def test_urls_are_stored_normalised(given, stored):
    assert str(Url.parse(given)) == stored
    assert str(Url.parse(stored)) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8080",
        "file:///etc/passwd",
        "ftp:///h.example",
        "//h.example",
        "ws:h.example",
        "ws://h.example:port",
        "ws://h.example:65536",
        "ws://h.example:-1",
        "ws://[::1",
        "ws://[::1%eth0]:80",
        "ws://[v1.x]:80",
        "ws://h.exam ple",
        "ws://h.example\r\nX-Header: 1",
        "ws://h.example\u202e",
        "ws://hé.example",
        "ws://" + "h" * 3000,
    ],
)
def test_what_cannot_be_called_is_refused_with_its_text(text):
    with pytest.raises(ConfigError, match="The url") as caught:
        Url.parse(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300


def test_the_host_header_names_a_port_only_where_it_must():
    assert Url.parse("ws://h.example").authority == "h.example"
    assert Url.parse("wss://h.example:8042").authority == "h.example:8042"
    assert Url.parse("ws://[::1]:8042").authority == "[::1]:8042"
    assert Url.parse("wss://h.example").secure
    assert Url.parse("https://h.example").path == "/"


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("ws://localhost:1", True),
        ("ws://a.localhost:1", True),
        ("ws://127.3.4.5:1", True),
        ("ws://[::1]:1", True),
        ("ws://localhost.example:1", False),
        ("ws://10.0.0.1:1", False),
        ("ws://[2001:db8::1]:1", False),
    ],
)
def test_only_what_can_mean_nothing_else_is_this_machine(text, local):
    assert Url.parse(text).is_local is local


@given(st.text(max_size=60))
def test_any_text_gives_a_url_or_a_config_error(text):
    for candidate in (text, "ws://" + text):
        try:
            url = Url.parse(candidate)
        except ConfigError:
            continue
        assert Url.parse(str(url)) == attrs_without_lost_path(url)


def attrs_without_lost_path(url):
    return url if str(url).endswith(url.path) else Url(url.scheme, url.host, url.port)
