"""`top`: a live view of the running agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .app import App, pass_app
from .control import ask
from .group import Failure, stdout_is_terminal
from .output import duration, harmless, print_line_json, say, size
from .work import JOB_HEADERS, PEER_HEADERS, job_row, peer_row

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command()
@click.option(
    "-d",
    "--delay",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    help="Seconds between refreshes.",
)
@click.option("-n", "--count", type=click.IntRange(1), help="Exit after N refreshes.", metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each refresh.")
@pass_app
def top(app: App, delay: float, count: int | None, *, as_json: bool) -> None:
    """Watch the running agent live: peers, jobs, rates. Press Ctrl-C to stop.

    Example:
      templemeads -c portal.toml top --delay 2
    """
    looks = ask(app, {"do": "watch", "seconds": delay})
    most = math.inf if count is None else count
    if as_json:
        for number, (_, found) in enumerate(looks, 1):
            print_line_json(found)
            if number >= most:
                return
        return
    if not stdout_is_terminal():
        before: Mapping[str, Any] | None = None
        for number, (_, found) in enumerate(looks, 1):
            say(_headline(found, before))
            before = found
            if number >= most:
                return
        return
    try:
        from rich.live import Live
    except ImportError:
        raise Failure(
            "The live view needs the extra 'ui': pip install 'templemeads[ui]'. Without it: top --json"
        ) from None
    before = None
    with Live(screen=True, auto_refresh=False) as live:
        for number, (_, found) in enumerate(looks, 1):
            live.update(_screen(found, before), refresh=True)
            before = found
            if number >= most:
                return


def _headline(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    totals, put = found["totals"], found["put"]
    return (
        f"{found['type']} {found['agent']}  up {duration(found['up_seconds'])}  {found['jobs']} jobs  "
        f"{found['handlers_running']} running  {found['handlers_waiting']} waiting  "
        f"put here {put['completed']} done {put['failed'] + put['expired']} failed  "
        f"run here {totals['completed']} done {totals['failed'] + totals['expired']} failed  "
        f"{_rate(found, before)} ended/s  "
        f"{found['cpu_percent']:.0f} % cpu  {size(found['memory_bytes'])}"
    )


def _rate(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "-"
    ended = [
        max(sum(each[key][word] for word in ("completed", "failed", "expired")) for key in ("totals", "put"))
        for each in (found, before)
    ]
    seconds = max(1, found["up_seconds"] - before["up_seconds"])
    return f"{max(0, ended[0] - ended[1]) / seconds:.0f}"


def _screen(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    peers = Table(*PEER_HEADERS, "IN", "OUT", expand=True, box=None, header_style="bold")
    for peer in found["peers"]:
        cells = (*peer_row(peer), size(peer["received_bytes"]), size(peer["sent_bytes"]))
        peers.add_row(*(Text(harmless(str(cell), 60)) for cell in cells))
    jobs = Table(*JOB_HEADERS, expand=True, box=None, header_style="bold")
    for job in found["latest"]:
        jobs.add_row(*(Text(harmless(str(cell), 60)) for cell in job_row(job)))
    return Group(Text(harmless(_headline(found, before)), style="bold"), Text(), peers, Text(), jobs)
