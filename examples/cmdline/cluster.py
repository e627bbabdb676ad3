"""The cluster as an executable of its own: every command of `templemeads`, around this handler."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # only needed where templemeads is not installed

from templemeads import AgentType, Envelope, Handlers, JobError, UserIdentifier, UserMapping
from templemeads.cli import AgentDefaults, agent_app
from templemeads.grammar import AddUser, RemoveUser

handlers = Handlers()


@handlers.add(AddUser)
async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    """Pretend to make an account."""
    await envelope.progress(f"making a home for {user.username}")
    return UserMapping(user, user.username, user.project)


@handlers.add(RemoveUser)
async def remove_user(_: Envelope, user: UserIdentifier) -> UserMapping:
    """Pretend to remove one, unless it is an administrator's."""
    if user.project == "admin":
        raise JobError(f'You are not allowed to remove the account for "{user.username}"')
    return UserMapping(user, user.username, user.project)


main = agent_app(
    AgentDefaults(
        agent_type=AgentType.INSTANCE, name="example-cluster", config_file="example-cluster.toml", port=8091
    ),
    handlers,
)

if __name__ == "__main__":
    main()
