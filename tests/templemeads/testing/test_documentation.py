"""The page about testing says what happens."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from templemeads.testing import HandlerError, check_handler

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"<!-- (\S+?)(?:: (.+?))? -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL)
VERSIONS = [(outcome, code) for name, outcome, code in BLOCKS if name == "accounts.py"]


def handlers_of(code: str) -> types.SimpleNamespace:
    names: dict[str, object] = {"__name__": "accounts"}
    exec(compile(code, "accounts.py", "exec"), names)
    return types.SimpleNamespace(**names)


@pytest.mark.parametrize(("outcome", "code"), VERSIONS[:-1], ids=lambda value: value[:20])
def test_each_bug_of_the_example_is_found(outcome: str, code: str) -> None:
    with pytest.raises(HandlerError, match=outcome) as caught:
        check_handler(factory=handlers_of(code).make_handlers)
    # Names are drawn; what is said about them is not.
    for line in str(caught.value).splitlines()[1:]:
        if not line.startswith("  "):
            assert line.partition(", at character")[0] in PAGE


def test_the_last_version_of_the_example_is_free_of_them() -> None:
    outcome, code = VERSIONS[-1]
    assert outcome == "passes"
    check_handler(factory=handlers_of(code).make_handlers)


def test_the_tests_of_the_page_pass_where_the_package_is_installed(tmp_path: Path) -> None:
    for name, _, code in BLOCKS:  # the last version of a file stays
        (tmp_path / name).write_text(code)
    # Installed, pytest and Hypothesis find our entry points. Here they are named, so that this source tree is tested.
    (tmp_path / "conftest.py").write_text(
        "from templemeads.testing._hypothesis_entry_point import register\nregister()\n"
    )
    options = [
        "-p",
        "pytest_trio.plugin",
        "-p",
        "templemeads.testing.plugin",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_the_project_tells_pytest_where_the_fixtures_are() -> None:
    assert 'templemeads = "templemeads.testing.plugin"' in (ROOT / "pyproject.toml").read_text()
