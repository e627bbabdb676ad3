"""How tests call the command line, in this process."""

import traceback

from click.testing import CliRunner

from templemeads.cli.main import main


def call(*words, status=0, stdin=None, group=main):
    """Run a command; check its status and that errors are one line; return what it printed."""
    done = CliRunner().invoke(group, [str(word) for word in words], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        traceback.print_exception(done.exception)
    assert done.exit_code == status, done.output
    if status not in (0, 2):
        assert "Traceback" not in done.output
        assert ["Error: " in line for line in done.stderr.splitlines()].count(True) == 1, done.stderr
    return done.stdout if status == 0 else done.stderr
