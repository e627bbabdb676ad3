"""What the public door of paddington shows."""

import importlib.metadata
from pathlib import Path

import paddington
from paddington import service

ROOT = Path(paddington.__file__).parent


def test_the_door_shows_what_it_says():
    assert sorted(paddington.__all__) == paddington.__all__
    for name in paddington.__all__:
        assert getattr(paddington, name).__doc__, name
    wanted = {
        "Invite",
        "Key",
        "ServiceConfig",
        "Peer",
        "Connected",
        "Received",
        "Disconnected",
        "open_service",
        "PaddingtonError",
        "Connection",
        "Limits",
        "Service",
        "ServerConfig",
        "ClientConfig",
    }
    assert wanted <= set(paddington.__all__)


def test_the_version_sent_to_peers_is_that_of_the_package():
    assert importlib.metadata.version("templemeads") == service.VERSION
