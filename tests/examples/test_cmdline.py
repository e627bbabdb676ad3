"""The executables around handlers of their own, with the commands of their README."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cmdline"


@pytest.mark.slow
@pytest.mark.processes
def test_the_commands_of_its_readme_work(tmp_path):
    commands = re.findall(r"^    (python .*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    assert len(commands) >= 7
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands[0] += f" --port {port}"
    script = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for command in commands:
        words = command.replace("python ", f"{sys.executable} {EXAMPLE}/", 1)
        if words.endswith("&"):
            words = words[:-1] + "2>> log &"
        elif " put " in words:
            script.append("until [ -S example-portal.sock ]; do sleep 0.1; done")
        script.append(words)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPLEMEADS_")}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    assert "fred.proj.portal:fred:proj" in done.stdout
    assert "example-cluster@default  Instance  connected" in done.stdout
