import importlib
import sys

import pytest

from templemeads import Handlers
from templemeads.cli.group import Failure
from templemeads.cli.loading import load_handler, source_of


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_handlers.py"
    path.write_text(
        "from templemeads import Handlers\nhandlers = Handlers()\nnothing = None\n\ndef other(): ...\n"
    )
    return path


def test_a_handler_comes_from_a_file_or_a_module(file):
    assert isinstance(load_handler("my_handlers.py:handlers", file.parent), Handlers)
    assert isinstance(load_handler(f"{file}:handlers", file.parent), Handlers)
    assert (
        load_handler("templemeads.agent.agent:refuse_every_job", file.parent).__name__ == "refuse_every_job"
    )


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("my_handlers.py", "does not name a handler"),
        ("my_handlers.py:", "does not name a handler"),
        (":x", "does not name a handler"),
        ("my_handlers.py:absent", "there are other"),
        ("my_handlers.py:nothing", "nothing called"),
        ("missing.py:x", "No such file"),
        ("no_such_module_at_all:x", "pip install -e"),
        ("templemeads.no_such:x", "pip install -e"),
    ],
)
def test_one_that_is_not_there_is_a_sentence_with_the_remedy(file, spec, why):
    with pytest.raises(Failure, match=why):
        load_handler(spec, file.parent)


def test_a_module_that_fails_says_where(file):
    file.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(Failure, match=r"ZeroDivisionError: division by zero, line 2 of .*my_handlers.py"):
        load_handler("my_handlers.py:y", file.parent)


def test_a_file_that_anybody_can_change_is_not_run(file):
    file.chmod(0o666)
    with pytest.raises(Failure, match="is writable by other users"):
        load_handler("my_handlers.py:handlers", file.parent)


def test_modules_are_not_looked_for_in_the_working_directory(file, monkeypatch):
    file.rename(file.with_name("unheard_of.py"))
    monkeypatch.chdir(file.parent)
    with pytest.raises(Failure, match="There is no module"):
        load_handler("unheard_of:handlers", file.parent)


def test_what_is_watched_is_the_directory_of_the_handler(file):
    assert source_of("my_handlers.py:handlers", file.parent) == file.parent.resolve()
    assert source_of("no_such_module_at_all:x", file.parent) is None
    assert source_of("attrs:x", file.parent) is None


def test_a_file_may_import_the_modules_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "cluster_helper.py").write_text("GROUP = 'users'\n")
    (tmp_path / "uses_helper.py").write_text(
        "from cluster_helper import GROUP\nasync def handler(envelope): ...\n"
    )
    assert load_handler("uses_helper.py:handler", tmp_path).__name__ == "handler"


def test_but_not_from_a_directory_where_others_can_create_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    tmp_path.chmod(0o777)
    (tmp_path / "planted_helper.py").write_text("")
    (tmp_path / "uses_planted.py").write_text("import planted_helper\nasync def handler(envelope): ...\n")
    with pytest.raises(Failure, match=r"No module named 'planted_helper'.*Install it"):
        load_handler("uses_planted.py:handler", tmp_path)


@pytest.mark.parametrize("name", ["json", "types", "trio", "templemeads"])
def test_a_file_hides_no_module_of_the_same_name(tmp_path, monkeypatch, name):
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = importlib.import_module(name)
    (tmp_path / f"{name}.py").write_text("async def handler(envelope): ...\n")
    load_handler(f"{name}.py:handler", tmp_path)
    assert importlib.import_module(name) is before


def test_a_relative_import_says_how_to_name_the_handler(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "relative_handler.py").write_text("from .other import thing\n")
    with pytest.raises(Failure, match=r"package\.module:name"):
        load_handler("relative_handler.py:handler", tmp_path)
