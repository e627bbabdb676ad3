"""The provider agent: passes jobs on between portals and platforms. It runs none itself, so its table begins empty.

Jobs travel by their path, which is the framework's work; what is addressed to the provider itself is refused as unknown.
"""

from __future__ import annotations

from typing import Final

from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from .role import run_role

OPTIONS: Final[tuple[str, ...]] = ()
"""The options under `[extras]`: none."""

handlers: Final = Handlers()
"""The handlers of the agent: none; add your own before running the agent."""


async def run(config: AgentConfig) -> None:
    """Run a provider agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type.
    """
    await run_role(config, AgentType.PROVIDER, handlers)
