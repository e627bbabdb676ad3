"""The wheel, as it is installed elsewhere; what the container recipe builds; what a new project needs of them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SECONDS = 120

# One group, so that the wheel is built once.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def build(source, out):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-build-isolation",
    ]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed():
    """A directory with what the wheel installs, and nothing else; a short one, since control sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="wheel-") as directory:
        place = Path(directory)
        with zipfile.ZipFile(build(ROOT, place / "out")) as wheel:
            wheel.extractall(place / "site")
        (place / "empty").mkdir()
        yield place


def run(installed, *words, cwd=None, **more):
    """Run Python with the wheel first on its path, away from the sources."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPLEMEADS_")}
    path = os.pathsep.join([str(installed / "site"), *more.pop("path", ())])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd or installed / "empty",
        env=environment | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **more,
    )


def test_the_wheel_brings_two_packages_and_no_other_top_level_name(installed):
    (information,) = (installed / "site").glob("*.dist-info")
    assert {path.name for path in (installed / "site").iterdir()} == {
        "paddington",
        "templemeads",
        information.name,
    }
    entry_points = configparser.ConfigParser()
    entry_points.read(information / "entry_points.txt")
    module, _, name = entry_points["console_scripts"]["templemeads"].partition(":")
    done = run(
        installed,
        "-c",
        f"import sys, {module} as m; print(m.__file__); sys.argv[1:] = ['--version']; m.{name}()",
    )
    assert done.stdout.splitlines()[0] == str(installed / "site/templemeads/cli/main.py")
    assert done.stdout.splitlines()[1].endswith(
        (ROOT / "paddington/version.py").read_text().split('"')[-2]
    ), done.stderr


def test_a_registry_page_has_urls_and_no_relative_link(installed):
    (information,) = (installed / "site").glob("*.dist-info")
    metadata = (information / "METADATA").read_text()
    for name in ("Source", "Documentation", "Changelog"):
        assert f"Project-URL: {name}, https://" in metadata
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert len(links) > 5
    for link in links:
        base = f"{PROJECT['urls']['Source']}/blob/main/"
        assert link.startswith("https://")
        assert not link.startswith(base) or (ROOT / link.removeprefix(base)).exists(), link


def test_another_package_called_cli_changes_nothing(installed, tmp_path):
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli/__init__.py").write_text("WHOSE = 'theirs'\n")
    (tmp_path / "cli/main.py").write_text("raise RuntimeError\n")
    for environment in (installed, tmp_path):  # the wheel, and this source tree
        path = [str(tmp_path)]
        code = "from templemeads.cli import agent_app; from templemeads.cli.main import main; import cli; print(cli.WHOSE)"
        done = run(environment, "-c", code, cwd=tmp_path, path=path)
        assert (done.returncode, done.stdout) == (0, "theirs\n"), done.stderr


def test_the_demo_runs_from_the_wheel_in_an_empty_directory(installed):
    done = run(installed, "-m", "templemeads.cli", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "account created" in done.stdout
    assert list((installed / "empty").iterdir()) == []


def test_a_new_project_passes_its_tests_and_starts_as_its_unit_says(installed, tmp_path):
    done = run(installed, "-m", "templemeads.cli", "new", "my_agent", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    project = tmp_path / "my_agent"
    done = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    # What the unit's comment says to install, below a directory that stands for the root of the machine.
    unit = (project / "my_agent.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, flags=re.MULTILINE)
    (working,) = re.findall(r"^WorkingDirectory=(.*)$", unit, flags=re.MULTILINE)
    assert "install -D -m 0600 -o templemeads agent.toml /etc/templemeads/my_agent.toml" in unit
    machine = installed / "machine"
    for place in ("etc/templemeads", working.lstrip("/"), "opt/site"):
        (machine / place).mkdir(parents=True)
    shutil.copy(project / "agent.toml", machine / "etc/templemeads/my_agent.toml")
    shutil.copytree(project / "my_agent", machine / "opt/site/my_agent")
    program, *words = command.replace("/etc/", f"{machine}/etc/").replace("/var/", f"{machine}/var/").split()
    assert program == "/opt/my_agent/bin/templemeads"
    done = run(
        installed,
        "-m",
        "templemeads.cli",
        *words,
        "--one-shot",
        "add_user fred.proj.portal",
        cwd=machine / working.lstrip("/"),
        path=[str(machine / "opt/site")],
    )
    assert (done.returncode, done.stdout) == (0, '"fred.proj.portal:fred:proj"\n'), done.stderr


def test_the_container_recipe_copies_what_the_build_needs(tmp_path):
    recipe = (ROOT / "examples/operations/Containerfile").read_text()
    stage = recipe.partition("AS build")[2].partition("\nFROM")[0]
    context = tmp_path / "context"
    context.mkdir()
    for line in re.findall(r"^COPY (.+)$", stage, flags=re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, context / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, context / target)
    build(context, tmp_path / "out")
    (extras,) = re.findall(r"'\.\[(.+)\]'", stage)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
