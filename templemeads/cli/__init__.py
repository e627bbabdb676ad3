"""The command line, for executables of your own: `from templemeads.cli import AgentDefaults, agent_app`.

In the source tree this is a façade over the folder `cli`; a wheel has that folder itself in this place. Either way
its modules are imported as `templemeads.cli.…`, so that another distribution with a package `cli` cannot replace ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli import AgentDefaults as AgentDefaults
    from cli import agent_app as agent_app
else:
    __path__.append(str(Path(__file__).parents[2] / "cli"))
    from .app import AgentDefaults, agent_app

__all__ = ["AgentDefaults", "agent_app"]
