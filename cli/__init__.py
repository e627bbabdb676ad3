"""The command line: turns words into calls, nothing else."""

from __future__ import annotations

from .app import AgentDefaults as AgentDefaults
from .app import agent_app as agent_app

__all__ = ["AgentDefaults", "agent_app"]
