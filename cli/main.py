"""The command `templemeads`. Subcommands are imported on use, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .app import AGENT_COMMANDS, App, make_group

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    **AGENT_COMMANDS,
    "demo": (".demo:demo", "Run the examples in real processes."),
    "grammar": (".grammar:grammar", "Explain the instructions that agents understand."),
    "new": (".new:new", "Start a project: handler, tests, configuration, systemd unit."),
    "parse": (".grammar:parse", "Show how a command, identifier or other text is understood."),
}

_HELP: Final = """Networks of agents that send each other jobs over encrypted peer-to-peer connections.

Examples:
  templemeads demo
  templemeads -c portal.toml init portal --type portal --port 6501
  templemeads -c portal.toml client add cluster --ip 127.0.0.1
  templemeads -c portal.toml run
  templemeads -c portal.toml put portal.cluster add_user fred.proj.portal --wait
"""

main = make_group(lambda: App(program="templemeads"), _COMMANDS, _HELP, "templemeads")
