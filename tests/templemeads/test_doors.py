"""What the packages show, and what looking at it loads."""

import ast
import importlib.util
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import paddington
import templemeads
from templemeads import grammar

DOORS = [paddington, templemeads, grammar]
HANDLERS = "from templemeads import Agent, AgentConfig, Handlers, Job, open_agent\nfrom templemeads.grammar import AddUser\n"


def seen_by_type_checkers(package: ModuleType) -> dict[str, str]:
    """Return the public names that the source imports, with the module of each."""
    tree = ast.parse(Path(package.__file__ or "").read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module not in {
            "__future__",
            "typing",
            "paddington.lazy",
            "lazy",
        }:
            home = importlib.util.resolve_name("." * node.level + node.module, package.__name__)
            found |= {alias.asname or alias.name: home for alias in node.names}
    return found


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has imported nothing yet."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=root, check=False)


def fresh(code: str) -> str:
    """Return what the code prints."""
    ended = run(code)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("package", DOORS, ids=lambda package: package.__name__)
def test_what_is_shown_is_what_type_checkers_see_and_what_the_modules_hold(package: ModuleType) -> None:
    homes = seen_by_type_checkers(package)

    assert sorted(package.__all__) == sorted(homes)
    assert set(package.__all__) <= set(dir(package))
    for name, home in homes.items():
        assert getattr(package, name) is getattr(importlib.import_module(home), name), name


@pytest.mark.parametrize("package", DOORS, ids=lambda package: package.__name__)
def test_a_star_brings_everything(package: ModuleType) -> None:
    names: dict[str, object] = {}
    exec(f"from {package.__name__} import *", names)

    assert set(package.__all__) <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "kinds"),
    [
        (paddington, ["Peer", "Service"]),
        (templemeads, ["Agent", "Job"]),
        (grammar, ["AddUser", "UsageReport"]),
    ],
)
def test_help_describes_what_is_shown(package: ModuleType, kinds: list[str]) -> None:
    shown = pydoc.render_doc(package, renderer=pydoc.plaintext)

    assert all(f"class {kind}(" in shown for kind in kinds)


def test_every_function_of_a_class_has_a_module_for_pydoc() -> None:
    # Python 3.13 and later fail at help(package) if one has none.
    for package in DOORS:
        for name in package.__all__:
            shown = getattr(package, name)
            for attribute in dir(shown) if inspect.isclass(shown) else ():
                function = inspect.getattr_static(shown, attribute, None)
                if inspect.isfunction(function):
                    assert function.__module__ is not None, f"{package.__name__}.{name}.{attribute}"


@pytest.mark.parametrize("package", DOORS, ids=lambda package: package.__name__)
def test_a_misspelt_name_is_refused_as_anywhere(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Peeer'"):
        getattr(package, "Peeer")  # noqa: B009 - what is looked for is the error
    with pytest.raises(ImportError, match="cannot import name 'Peeer'"):
        exec(f"from {package.__name__} import Peeer")


def test_the_name_that_was_probably_meant_is_suggested() -> None:
    assert "Did you mean: 'Agent'?" in run("import templemeads; templemeads.Agnet").stderr


def test_the_grammar_is_there_without_being_imported() -> None:
    assert fresh("import templemeads; print(templemeads.grammar.AddUser.keyword)") == "add_user\n"


HEAVY = ["trio", "trio_websocket", "nacl", "tomlkit", "cattrs", "sqlite3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import templemeads", [*HEAVY, "attrs", "templemeads.grammar", "templemeads.agent"]),
        ("import paddington", [*HEAVY, "attrs", "paddington.service"]),
        ("from templemeads import UserIdentifier", HEAVY),
        ("import templemeads.grammar", [*HEAVY, "templemeads.agent", "templemeads.grammar.usage_reports"]),
        (
            HANDLERS,
            [
                "templemeads.grammar.usage_reports",
                "templemeads.grammar.storage_reports",
                "statistics",
                "difflib",
            ],
        ),
    ],
)
def test_an_import_loads_only_what_it_is_for(code: str, absent: list[str]) -> None:
    loaded = set(fresh(f"{code}\nimport sys; print(*sys.modules)").split())

    assert "templemeads" in loaded or "paddington" in loaded
    assert not loaded & set(absent)


@pytest.mark.slow
def test_threads_may_open_the_doors_at_once() -> None:
    code = """
import threading, templemeads, paddington
ready = threading.Barrier(4)
found = []
def look(names):
    ready.wait()
    found.append([getattr(package, name) for package, name in names])
names = [(package, name) for package in (templemeads, paddington) for name in package.__all__]
threads = [threading.Thread(target=look, args=(order,)) for order in (names, names[::-1], names, names[::-1])]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(all(each in (found[0], found[0][::-1]) for each in found), len(found))
"""
    assert fresh(code) == "True 4\n"


def test_a_report_is_loaded_when_it_is_a_result() -> None:
    code = """
import sys
from templemeads.grammar.results import decode_result
home = "templemeads.grammar.usage_reports"
before = home in sys.modules
print(before, type(decode_result('{"portal":"waldur","reports":{}}', "UsageReport")).__name__)
"""
    assert fresh(code) == "False UsageReport\n"
