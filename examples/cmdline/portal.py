"""The portal as an executable of its own: it runs no jobs, it sends them (`portal.py put`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # only needed where templemeads is not installed

from templemeads import AgentType, refuse_every_job
from templemeads.cli import AgentDefaults, agent_app

main = agent_app(
    AgentDefaults(agent_type=AgentType.PORTAL, name="portal", config_file="example-portal.toml", port=8090),
    refuse_every_job,
)

if __name__ == "__main__":
    main()
