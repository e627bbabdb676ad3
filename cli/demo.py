"""`templemeads demo`: the examples, run as a newcomer would run them, in processes of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import click
import trio

MAX_SCENE_SECONDS = 30.0
"""Seconds that one scene may take."""


@attrs.frozen
class Actor:
    """A process of a scene.

    Attributes:
        name: What its lines are prefixed with.
        arguments: Script and arguments.
        status: The exit status that it ends with if everything is well.
        says: Lines that it must print; without `--verbose`, only these are shown.
        is_shown: Show all its lines.
    """

    name: str
    arguments: tuple[str, ...]
    status: int = 0
    says: tuple[str, ...] = ()
    is_shown: bool = False


@click.command()
@click.option("--verbose", is_flag=True, help="Show everything that the agents print, with their logs.")
def demo(*, verbose: bool) -> None:
    """Run two agents, then a route of four, in real processes, then a whole estate, and show their results.

    Exit status 0 if everything happened as it should; the portal's last job must be refused.

    Example:
      templemeads demo --verbose
    """
    examples = find_examples()
    with tempfile.TemporaryDirectory(prefix="templemeads-demo-") as directory:
        scenes = (
            (
                "A portal sends three jobs to a cluster, which must refuse the last",
                job_scene(examples, directory),
            ),
            ("A job crosses four agents: waldur.brics.notebook.shared", route_scene(examples, directory)),
            (
                "A whole estate, with stand-ins for accounts and Slurm: a user is added, used, reported, removed",
                estate_scene(examples),
            ),
        )
        problems: list[str] = []
        for title, actors in scenes:
            click.secho(title, bold=True)
            problems += trio.run(play, actors, verbose)
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        advice = "" if verbose else "; run it with --verbose to see the logs"
        click.secho(f"The demo failed{advice}", fg="red", err=True)
        sys.exit(1)


def find_examples() -> Path:
    """Return the directory of the examples: beside the packages in a checkout, inside them when installed."""
    here = Path(__file__).resolve().parent
    for directory in (here.parent / "examples", here / "examples"):
        if (directory / "job.py").is_file():
            return directory
    raise click.ClickException(
        "The examples are not installed; run the demo from a checkout, with: make demo"
    )


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def job_scene(examples: Path, directory: str) -> tuple[Actor, ...]:
    """Return the processes of the first scene."""
    script, invitation, port = str(examples / "job.py"), f"{directory}/invitation.toml", str(free_port())
    return (
        Actor(
            "portal",
            (
                script,
                "portal",
                "--url",
                f"http://localhost:{port}",
                "--port",
                port,
                "--invitation",
                invitation,
            ),
            status=1,
            says=(
                "account created",
                "account removed",
                'You are not allowed to remove the account for "jane"',
            ),
        ),
        Actor("cluster", (script, "cluster", "--invitation", invitation)),
    )


def route_scene(examples: Path, directory: str) -> tuple[Actor, ...]:
    """Return the processes of the second scene."""
    script = str(examples / "route.py")
    names = ("waldur", "brics", "notebook", "shared")
    says = {"waldur": ("fred.proj.waldur:fred:proj",)}
    return tuple(
        Actor(
            name,
            (script, name, "--directory", directory, "--port", str(free_port())),
            says=says.get(name, ()),
        )
        for name in names
    )


def estate_scene(examples: Path) -> tuple[Actor, ...]:
    """Return the one process of the third scene, of which every line is shown."""
    user = "fred.proj.waldur:fred.proj:waldur.proj"
    answers = ("proj.waldur:waldur.proj", user, "/proj/fred.proj", "30.000 minutes of a node", user)
    says = tuple(f"  waldur   has the answer: {answer}" for answer in answers)
    return (Actor("estate", (str(examples / "estate.py"),), says=says, is_shown=True),)


async def play(actors: tuple[Actor, ...], verbose: bool) -> list[str]:
    """Run the processes of a scene side by side; return what did not happen as it should."""
    problems: list[str] = []
    width = max(len(actor.name) for actor in actors)
    with trio.move_on_after(MAX_SCENE_SECONDS) as patience:
        async with trio.open_nursery() as nursery:
            for actor in actors:
                nursery.start_soon(act, actor, width, verbose, problems)
    if patience.cancelled_caught:
        problems.append(f"The scene did not end within {MAX_SCENE_SECONDS:g} s")
    return problems


async def act(actor: Actor, width: int, verbose: bool, problems: list[str]) -> None:
    """Run one process, show its lines as they come, and check how it ends."""
    process = await trio.lowlevel.open_process(
        (sys.executable, "-u", *actor.arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if verbose else subprocess.DEVNULL,
    )
    printed: list[str] = []
    try:
        assert process.stdout is not None
        rest = b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                printed.append(text := line.decode("utf-8", "replace"))
                if verbose or actor.is_shown or text in actor.says:
                    click.echo(f"{click.style(actor.name.rjust(width), fg='cyan')} | {text}")
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
    if status != actor.status:
        problems.append(f"{actor.name} ended with status {status} instead of {actor.status}")
    problems += [f"{actor.name} did not print {line!r}" for line in actor.says if line not in printed]
