"""`status`, `jobs`, `job`, `put`, `delete` and `notify`: ask the running agent, and give it work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from .app import App, pass_app
from .completing import complete_command, complete_job, complete_peer
from .control import JOB_FAILED, ask, ask_once
from .group import NOT_IN_TIME, Failure, stdout_is_terminal
from .output import duration, harmless, print_json, print_line_json, print_table, say, size, warn

STATES = ("created", "pending", "running", "complete", "error", "duplicate")

_json = click.option("--json", "as_json", is_flag=True, help="Print data for programs.")


@click.command()
@_json
@pass_app
def status(app: App, *, as_json: bool) -> None:
    """Show the running agent, its peers and its boards.

    Example:
      templemeads -c portal.toml status
    """
    found = ask_once(app, {"do": "status"})
    if as_json:
        print_json(found)
        return
    if found.get("waiting"):
        say(f"{found['type']} agent {found['agent']} (process {found['pid']}) waits to take over")
        say(f"{found['leader'] or 'another process'} leads")
        return
    stopping = ", stopping" if found["stopping"] else ""
    say(
        f"{found['type']} agent {found['agent']} (templemeads {found['version']}, process {found['pid']}{stopping})"
    )
    say(f"up {duration(found['up_seconds'])}, {size(found['memory_bytes'])}, called at {found['url']}")
    store = found["store"]
    if found["leader"] is not None:
        say(f"{found['leader']} leads: this process, number {store['fence']} to do so")
    if store["problem"] is not None:
        warn(f"{store['waiting']} changes wait for the store: {store['problem']}")
    totals, put = found["totals"], found["put"]
    say(
        f"{found['jobs']} jobs on the boards, {found['handlers_running']} handlers running, "
        f"{found['handlers_waiting']} jobs waiting for one"
    )
    if put["unfinished"] or put["completed"] or put["failed"] or put["expired"]:
        say(
            f"put here: {put['completed']} completed, {put['failed']} failed, {put['expired']} expired, "
            f"{put['unfinished']} unfinished; put to result {put['median_ms']:.0f} ms (median), {put['max_ms']:.0f} ms (max)"
        )
    if put["failures"]:
        say(
            "failed by kind: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(put["failures"].items()))
        )
    if any(totals.values()):
        say(
            f"run here: {totals['completed']} completed, {totals['failed']} failed, {totals['expired']} expired; "
            f"handlers took {found['job_ms']['median']:.0f} ms (median)"
        )
    if found["refused"]:
        say(
            "refused: " + ", ".join(f"{count} {reason}" for reason, count in sorted(found["refused"].items()))
        )
    if found.get("config_changed"):
        warn(f"the configuration file is newer than what runs: use '{app.command} reload'")
    click.echo()
    print_table(PEER_HEADERS, [peer_row(peer) for peer in found["peers"]])


PEER_HEADERS = ("PEER", "TYPE", "STATE", "SINCE", "BOARD", "UNFINISHED", "QUEUED", "NOTE")


def peer_row(peer: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of one peer."""
    since = peer["connected_seconds"]
    return (
        f"{peer['name']}@{peer['zone']}",
        peer["type"] or "?",
        "connected" if peer["connected"] else "away" if since is None else "registering",
        "" if since is None else duration(since),
        peer["board"],
        peer["unfinished"],
        peer["queued"],
        peer["failure"],
    )


@click.command()
@click.option(
    "-s",
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only jobs in this state; may be repeated.",
)
@click.option("-p", "--peer", help="Only the board of this peer.", shell_complete=complete_peer)
@click.option("-t", "--text", help="Only jobs whose command contains this text.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Show at most N jobs, newest first.",
    metavar="N",
)
@click.option("-f", "--follow", is_flag=True, help="Keep running, and print each change when it happens.")
@_json
@pass_app
def jobs(
    app: App,
    states: tuple[str, ...],
    peer: str | None,
    text: str | None,
    limit: int,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """List the jobs on the boards, or follow them.

    Examples:
      templemeads -c portal.toml jobs --state pending --state running
      templemeads -c portal.toml jobs --follow --json
    """
    request = {"states": states, "peer": peer, "text": text, "limit": limit}
    if follow:
        for kind, job_found in ask(app, {"do": "follow", **request}):
            if kind == "item":
                if job_found["missed"]:
                    say(f"({job_found['missed']} changes were missed: too many at once)", err=True)
                print_line_json(job_found) if as_json else say("  ".join(map(str, job_row(job_found))))
        return
    found = ask_once(app, {"do": "jobs", **request})
    if as_json:
        print_json(found)
    else:
        print_table(JOB_HEADERS, [job_row(each) for each in found])


JOB_HEADERS = ("ID", "STATE", "CHANGED", "BOARD", "COMMAND", "RESULT")


def job_row(job_found: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of one job."""
    changed = time.strftime("%H:%M:%S", time.localtime(max(0, min(job_found["changed"], 2**33))))
    state = "removed" if job_found.get("removed") else job_found["state"].lower()
    value = job_found["value"]
    return (
        job_found["id"][:8],
        state,
        changed,
        job_found["board"],
        harmless(job_found["command"], 60),
        "" if value is None else harmless(str(value), 50),
    )


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_job)
@click.option(
    "-w",
    "--wait",
    is_flag=True,
    help="Wait until it has finished, and print its result as 'put --wait' does.",
)
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds to wait; exit status 5 when they are over.",
)
@_json
@pass_app
def job(app: App, job_id: str, timeout: float | None, *, wait: bool, as_json: bool) -> None:
    """Show one job; the beginning of its id is enough.

    Examples:
      templemeads -c portal.toml job 1f0c6a2b
      templemeads -c portal.toml job 1f0c6a2b --wait
    """
    if wait:
        request = {"do": "job", "id": job_id, "wait": True}
        answers = (each[0] for _, each in ask(app, request, seconds=timeout))
        _await(answers, timeout, wait=True, as_json=as_json)
        return
    found = ask_once(app, {"do": "job", "id": job_id})
    if as_json:
        print_json(found)
        return
    for number, each in enumerate(found):
        if number:
            click.echo()
        for key in ("id", "command", "state", "board"):
            say(f"{key:10}{each[key]}")
        for key in ("created", "changed", "expires"):
            say(f"{key:10}{_time(each[key])}")
        say(f"{'version':10}{each['version']}")
        if each["value"] is not None:
            word = (
                "progress"
                if each["state"] == "Running"
                else "error"
                if each["state"] == "Error"
                else "result"
            )
            say(f"{word:10}{each['value']}")
        if each["error_kind"] is not None:
            say(f"{'kind':10}{each['error_kind']}")


@click.command()
@click.argument("words", metavar="PATH INSTRUCTION", nargs=-1, required=True, shell_complete=complete_command)
@click.option("-w", "--wait", is_flag=True, help="Wait for the result; exit status 4 if it is an error.")
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds to wait; exit status 5 when they are over.",
)
@click.option(
    "-l", "--lifetime", type=click.FloatRange(1), help="Seconds until the job expires; 120 by default."
)
@click.option("-z", "--zone", help="Zone of the next agent; needed when its name occurs in several.")
@_json
@pass_app
def put(
    app: App,
    words: tuple[str, ...],
    timeout: float | None,
    lifetime: float | None,
    zone: str | None,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Put a job on the board of the first agent on its path.

    PATH names the agents that the job travels, beginning with this one, such as portal.cluster. INSTRUCTION is what the
    last agent shall do: 'templemeads grammar' lists them. Quotes are only needed for arguments with spaces.

    If you interrupt the command or its time runs out, the job goes on: 'job ID' shows it, 'delete ID' withdraws it.

    Examples:
      templemeads -c portal.toml put portal.cluster add_user fred.proj.portal --wait
      templemeads -c portal.toml put portal.cluster get_users proj.portal --wait --json
    """
    request: dict[str, Any] = {"do": "put", "command": " ".join(words), "zone": zone, "wait": wait}
    if lifetime is not None:
        request["lifetime"] = lifetime
    answers = (each for _, each in ask(app, request, seconds=timeout if wait else None))
    _await(answers, timeout, wait=wait, as_json=as_json)


def _await(answers: Iterator[Mapping[str, Any]], timeout: float | None, *, wait: bool, as_json: bool) -> None:
    """Show the progress of a job, and exit with the status of its result."""
    deadline = None if timeout is None else time.monotonic() + timeout
    watched = sys.stderr.isatty() and stdout_is_terminal() and not as_json
    found: Mapping[str, Any] = {}
    shown = None
    try:
        for found in answers:
            if found["state"] == "Running" and found["value"] not in (None, shown) and not as_json:
                shown = found["value"]
                say(f"… {shown}", err=True)
            elif watched and wait and found["state"] in ("Pending", "Duplicate"):
                say(f"… {found['state'].lower()}: job {found['id']}", err=True)
            if deadline is not None and time.monotonic() > deadline:
                break
    except Failure as failure:
        if failure.exit_code == NOT_IN_TIME and found:
            raise _not_in_time(found, timeout) from None
        raise
    finished = found["state"] in ("Complete", "Error")
    if as_json:
        print_json(found)
    if wait and not finished:
        raise _not_in_time(found, timeout)
    if found["state"] == "Error":
        raise Failure(found["value"] or "the job failed without a message", JOB_FAILED)
    if as_json:
        return
    if finished:
        say("done" if found["value"] is None else found["value"])
    else:
        say(found["id"])


def _not_in_time(found: Mapping[str, Any], timeout: float | None) -> Failure:
    return Failure(
        f"The job {found['id']} is {found['state'].lower()} after {timeout:g} s; the job goes on", NOT_IN_TIME
    )


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_job)
@_json
@pass_app
def delete(app: App, job_id: str, *, as_json: bool) -> None:
    """Withdraw a job that was put here: it is removed from every board on its path, and its handler is cancelled.

    Example:
      templemeads -c portal.toml delete 1f0c6a2b
    """
    found = ask_once(app, {"do": "delete", "id": job_id})
    if as_json:
        print_json(found)
    else:
        say(f"Deleted the job {found['id']}: {found['command']}")


@click.command()
@click.argument("words", metavar="PATH EVENT", nargs=-1, required=True)
@_json
@pass_app
def notify(app: App, words: tuple[str, ...], *, as_json: bool) -> None:
    """Send a notification along a path. Delivery is not confirmed.

    Example:
      templemeads -c cluster.toml notify cluster.portal user_added fred.proj.portal
    """
    text = " ".join(words)
    ask_once(app, {"do": "notify", "text": text})
    if as_json:
        print_json({"sent": text})
    else:
        say("Sent")


def _time(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds from 1970"
