"""The types of agents, as they register with each other."""

from __future__ import annotations

import enum

from .errors import ParseError


class AgentType(enum.Enum):
    """What an agent is; the values are the words of `Register` and of configuration files."""

    PORTAL = "Portal"
    PROVIDER = "Provider"
    PLATFORM = "Platform"
    INSTANCE = "Instance"
    BRIDGE = "Bridge"
    ACCOUNT = "Account"
    FILESYSTEM = "Filesystem"
    SCHEDULER = "Scheduler"
    VIRTUAL = "Virtual"

    @classmethod
    def parse(cls, text: str) -> AgentType:
        """Read the name of a type, capitalised as on the wire or in lower case as in declarations.

        Raises:
            ParseError: There is no such type.
        """
        for agent_type in cls:
            if text in (agent_type.value, agent_type.value.lower()):
                return agent_type
        names = ", ".join(agent_type.value.lower() for agent_type in cls)
        raise ParseError(f"There is no agent type {text[:40]!a}: it is one of {names}", text=text)

    @property
    def is_leaf(self) -> bool:
        """Whether agents of this type pass health, diagnostics and restarts on to nobody (*operations*)."""
        return self in (AgentType.ACCOUNT, AgentType.FILESYSTEM, AgentType.SCHEDULER)

    def __str__(self) -> str:
        return self.value
