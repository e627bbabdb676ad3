"""The commands and the programs of the page about the bridge do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from paddington.config.toml_edit import format_toml
from tests.cli.invoking import call
from tests.templemeads.roles.bridge.test_bridge import KEY, running

PAGE = (Path(__file__).parents[4] / "docs" / "bridge.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(
        "-c",
        "portal.toml",
        "init",
        "portal",
        "--type",
        "portal",
        "--url",
        "ws://localhost:6501",
        "--port",
        "6501",
    )
    call(
        "-c",
        "portal.toml",
        "client",
        "add",
        "bridge",
        "--ip",
        "127.0.0.1",
        "-o",
        "invitation-from-the-portal.toml",
    )
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        if words[-1] != "run":
            call(*words)
    assert Path("openportal.toml").exists()


@pytest.mark.processes
@pytest.mark.parametrize("program", PROGRAMS, ids=["published client", "any client"])
async def test_the_programs_get_their_result(program, tmp_path):
    async with running() as (role, _):
        file = tmp_path / "openportal.toml"
        file.write_text(format_toml({**role.settings.invite(), "url": role.url + "/"}))
        file.chmod(0o600)
        (tmp_path / "key.txt").write_text(KEY.hex() + "\n")
        source = program.replace(
            "portal.cluster add_user fred.project.portal", "waldur.shared add_user fred.proj.waldur"
        )
        source = source.replace("http://localhost:3000", role.url)
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, "-c", source],
                cwd=tmp_path,
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
        assert "fred is here" in done.stdout.decode(), done.stdout.decode()
