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
        ("my_handlers.py", "names no handler"),
        ("my_handlers.py:", "names no handler"),
        (":x", "names no handler"),
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
    with pytest.raises(Failure, match="can be changed by other users"):
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
