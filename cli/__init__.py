"""The command line: turns words into calls, nothing else."""

from cli.app import AgentDefaults as AgentDefaults
from cli.app import agent_app as agent_app

__all__ = ["AgentDefaults", "agent_app"]
