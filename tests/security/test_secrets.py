"""No key in anything that is logged or printed, and no randomness that can be foreseen."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys

import pytest

from paddington import Key, ServiceConfig
from templemeads import AgentConfig, AgentType
from tests.keyguard import Keys, Recorder

from .hostile import ROUTE, configs, estate, job_json, settle


@pytest.mark.case("33.3")
def test_the_guard_of_the_suite_sees_a_key_in_any_spelling():
    keys = Keys()
    raw = bytes(range(7, 39))
    keys.remember(raw)
    for shown in (
        raw.hex(),
        raw.hex().upper(),
        f"x={raw.hex()[3:40]}",
        repr(raw),
        f"{[raw]}",
        f"{raw[:20]!r}",
    ):
        assert keys.found_in(shown), shown
    for shown in ("", "no key", os.urandom(32).hex(), repr(os.urandom(32)), "Key(redacted)", raw.hex()[:12]):
        assert not keys.found_in(shown), shown


@pytest.mark.case("33.3")
@pytest.mark.case("P33")
@pytest.mark.case("P86")
async def test_nothing_shows_a_key_at_the_most_talkative_level(autojump_clock, caplog):
    caplog.set_level(logging.DEBUG)
    recorder, keys = Recorder(), Keys()
    secret = "correct horse battery staple"
    root = logging.getLogger()
    root.addHandler(recorder)
    try:
        async with estate() as attacked:
            line = attacked.lines["middle"]
            for config in (*configs()[0].values(), *(agent.config for agent in attacked.agents.values())):
                for entry in (*config.service.clients, *config.service.servers):
                    keys.remember(entry.inner_key.expose())
                    keys.remember(entry.outer_key.expose())
                    logging.getLogger("test").warning("%r %s", entry, config)
            await line.say_text("rubbish")
            await line.say("Put", job=job_json("mallory.middle.cluster remove_user a.b.c", result=secret))
            attacked.network.cut()
            await attacked["portal"].wait_gone("middle")
            await attacked["portal"].wait_for("middle")
            await attacked["middle"].wait_for("cluster")
            await settle()
    finally:
        root.removeHandler(recorder)
    assert len(recorder.lines) > 20
    assert not [each for each in recorder.lines if keys.found_in(each)]
    assert not [each for each in recorder.lines if secret in each]
    assert ROUTE


@pytest.mark.case("P34")
def test_randomness_does_not_follow_pythons_generator():
    made = []
    for _ in range(2):
        random.seed(7)
        config = ServiceConfig.create("portal", url="ws://portal:8042")
        made.append(config.add_client("cluster", "127.0.0.1").inner_key)
    assert made[0] != made[1]


@pytest.mark.case("P34")
def test_two_processes_that_begin_alike_make_different_keys():
    script = "import random; random.seed(7); from paddington import Key; print(hash(Key.generate().expose()))"
    run = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {os.getcwd()!r}); {script}"]
    environment = {"PYTHONHASHSEED": "0", "PATH": os.environ.get("PATH", "")}
    printed = {
        subprocess.run(run, check=True, capture_output=True, env=environment, timeout=60).stdout
        for _ in range(2)
    }
    assert len(printed) == 2


@pytest.mark.case("33.3")
@pytest.mark.case("P77")
def test_configurations_and_keys_print_without_keys():
    service = ServiceConfig.create("portal", url="ws://portal:8042")
    invite = service.add_client("cluster", "127.0.0.1")
    config = AgentConfig(service, AgentType.PORTAL, extras={"token": "s3cret-value"})
    keys = Keys()
    for key in (invite.inner_key, invite.outer_key, Key.generate()):
        keys.remember(key.expose())
    for shown in (service, invite, config, vars(service) if hasattr(service, "__dict__") else service):
        text = f"{shown!r} {shown}"
        assert not keys.found_in(text)
        assert "s3cret-value" not in text
