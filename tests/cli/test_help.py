import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from paddington import ConfigError
from templemeads import RefusedError
from templemeads.cli.group import OUR_MISTAKE, Failure, LazyGroup, failure_of
from templemeads.cli.main import main

ROOT = Path(__file__).parents[2]


def all_commands(group, words=()):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))


COMMANDS = list(all_commands(main))


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_every_command_has_help_with_an_example(words, command):
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert "templemeads" in done.stdout.partition("Example")[2]
    for option in command.params:
        assert getattr(option, "hidden", False) or isinstance(option, click.Argument) or option.help, option


def test_the_short_help_in_the_table_is_there_for_every_command():
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for words, _ in COMMANDS:
        if len(words) == 1:
            assert f"\n  {words[0]} " in shown
    assert "Exit status" in shown


def test_help_imports_nothing_heavy():
    heavy = (
        "trio",
        "nacl",
        "tomlkit",
        "cattrs",
        "rich",
        "hypothesis",
    )
    code = (
        "import sys; sys.argv = ['templemeads', '--help']\n"
        "from templemeads.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.exit(','.join(name for name in {heavy!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_asking_imports_nothing_heavy_either():
    modules = ", ".join(f"templemeads.cli.{name}" for name in ("control", "work", "operate"))
    code = f"import sys, {modules}; sys.exit('trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (RefusedError("no"), 1, "no"),
        (ConfigError("mend it"), 1, "mend it"),
        (Failure("x", 3), 3, "x"),
        (FileNotFoundError(2, "No such file or directory", "/x"), 1, "No such file or directory /x"),
        (ExceptionGroup("g", [RefusedError("inner")]), 1, "inner"),
        (ExceptionGroup("g", [RefusedError("one"), ExceptionGroup("h", [Failure("two", 3)])]), 3, "one; two"),
        (KeyError("oops"), OUR_MISTAKE, "a mistake of ours"),
        (RefusedError("two\nlines \x1b[2J"), 1, "two\\nlines \\x1b[2J"),
    ],
)
def test_every_error_becomes_one_line_with_a_status(error, status, text):
    failure = failure_of(error)
    assert failure.exit_code == status
    assert text in failure.message
    assert failure.message.isprintable()


@pytest.fixture
def failing():
    group = LazyGroup("x", lazy={})

    @group.command()
    def fail():
        raise ZeroDivisionError("oh")

    @group.command()
    def interrupted():
        raise KeyboardInterrupt

    return group


def test_no_traceback_unless_it_is_asked_for(failing, monkeypatch):
    monkeypatch.delenv("TEMPLEMEADS_TRACEBACK", raising=False)
    done = CliRunner().invoke(failing, ["fail"])
    assert done.exit_code == OUR_MISTAKE
    assert done.stderr.startswith("Error: ZeroDivisionError: oh")
    monkeypatch.setenv("TEMPLEMEADS_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(failing, ["fail"]).exception, ZeroDivisionError)


def test_an_interruption_is_130(failing):
    assert CliRunner().invoke(failing, ["interrupted"]).exit_code == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_executable_back(shell):
    done = CliRunner().invoke(main, ["completion", shell], prog_name="templemeads")
    assert done.exit_code == 0
    assert "_TEMPLEMEADS_COMPLETE" in done.stdout


def test_completion_knows_commands_and_options():
    environment = {
        "_TEMPLEMEADS_COMPLETE": "bash_complete",
        "COMP_WORDS": "templemeads he",
        "COMP_CWORD": "1",
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="templemeads")
    assert "plain,health" in done.output
    environment |= {"COMP_WORDS": "templemeads put --wa", "COMP_CWORD": "2"}
    assert "plain,--wait" in CliRunner().invoke(main, [], env=environment, prog_name="templemeads").output
