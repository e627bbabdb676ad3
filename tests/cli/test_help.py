import inspect
import itertools
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from paddington import ConfigError
from templemeads import RefusedError
from templemeads.cli.group import INTERNAL_ERROR, Failure, LazyGroup, failure_of
from templemeads.cli.main import main

ROOT = Path(__file__).parents[2]


def all_commands(group, words=()):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))


COMMANDS = list(all_commands(main))


def written_examples(command):
    lines = inspect.cleandoc(command.callback.__doc__).splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith("Example"))
    return [f"  {line}" for line in itertools.takewhile(str.strip, lines[start + 1 :])]


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_every_command_has_help_with_an_example(words, command):
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    assert "\\b" not in done.stdout
    heading, _, rest = done.stdout.partition("\n  Example")[2].partition("\n")
    assert heading in (":", "s:")
    examples = rest.partition("\n\n")[0].splitlines()
    # Each as it is written, on a line of its own: none is wrapped, none runs into the next.
    assert examples == [line.rstrip() for line in written_examples(command)]
    assert all("templemeads" in line for line in examples)
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
        (KeyError("oops"), INTERNAL_ERROR, "internal error"),
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
    assert done.exit_code == INTERNAL_ERROR
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


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["statsu"], "Did you mean status"),
        (["client", "addd"], "Did you mean add"),
        (["frobnicate"], "There are: bridge, "),
    ],
)
def test_an_unknown_command_is_refused_with_the_one_that_was_meant(words, advice):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert advice in done.stderr


@pytest.mark.parametrize(
    "words", [["-c", "\udcff", "status"], ["put", "a.b", "add_user", "\udce9"], ["\udcff"]]
)
def test_an_argument_that_is_not_utf8_is_one_line(words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "is not valid UTF-8" in done.stderr.splitlines()[-1]


COMMAND = [sys.executable, "-m", "templemeads.cli"]


@pytest.mark.parametrize("words", [["--help"], ["grammar"], ["parse", "fred.proj.portal"], ["put", "--help"]])
def test_closed_and_broken_outputs_give_a_status_and_no_traceback(words):
    def run(redirection):
        return subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    closed = run(">&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = run("> /dev/full")
    assert (full.returncode, full.stderr) == (1, "Error: No space left on device\n")
    assert run("2>&-").returncode == 0


def test_a_reader_that_has_gone_ends_the_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:
        done = subprocess.run(
            [*COMMAND, "grammar"], cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", ".local/share/bash-completion/completions/templemeads"),
        ("zsh", ".zfunc/_templemeads"),
        ("fish", ".config/fish/completions/templemeads.fish"),
    ],
)
def test_completion_is_installed_where_the_shell_looks(tmp_path, shell, path):
    environment = {
        "HOME": str(tmp_path),
        "SHELL": f"/bin/{shell}",
        "XDG_DATA_HOME": "",
        "XDG_CONFIG_HOME": "",
    }
    done = CliRunner().invoke(main, ["completion", "--install"], env=environment, prog_name="templemeads")
    assert done.exit_code == 0
    assert str(tmp_path / path) in done.stdout
    assert "_TEMPLEMEADS_COMPLETE" in (tmp_path / path).read_text()
