"""The instance agent: a cluster, made of an account, a filesystem and a scheduler agent.

What a failure undoes
    `add_project`: if the project was not there before, it is removed again as `remove_project` does.
    `add_user`: if the user was not there before, the account is removed again; directories that were made stay.
    Everything else undoes nothing: each step may be repeated, so the same instruction finishes what was left.
    What goes wrong while undoing is only logged; the sender gets the error that came first.

Steps of the filesystem and the scheduler agent do not depend on each other and run at once, each to its end; the error
names the one that failed, or both. If the agent is stopped half-way, the job runs again when it is back: what it finds made
already counts as there before, so then nothing is undone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import JobError, ParseError, PeerNotFoundError
from ..grammar import (
    AddLocalProject,
    AddLocalUser,
    AddProject,
    AddUser,
    BlockProject,
    BlockUser,
    GetLocalHomeDir,
    GetUserMapping,
    GetUsers,
    IsBlockedProject,
    IsBlockedUser,
    IsExistingProject,
    IsExistingUser,
    IsProtectedUser,
    ProjectIdentifier,
    ProjectMapping,
    RemoveLocalProject,
    RemoveLocalUser,
    RemoveProject,
    RemoveUser,
    UnblockProject,
    UnblockUser,
    UpdateHomedir,
    UserIdentifier,
    UserMapping,
)
from ..text import quoted
from .instance_questions import add_questions, side_by_side
from .role import parallel, run_role
from .subordinates import Subordinates, raise_first

_log = logging.getLogger("templemeads.roles.instance")

OPTIONS: Final[tuple[str, ...]] = ()
"""The options under `[extras]`: none."""

MAX_TRIES: Final = 6
"""How often the steps of `add_user` are tried."""

RETRY_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Pauses between the tries."""

_HOPELESS: Final = frozenset({"unsupported", "invalid", "expired"})


def notify(envelope: Envelope, event: str) -> None:
    """Send a notification back along the path of a job; that it cannot be sent does not fail the job."""
    path = envelope.job.destination.reverse()
    try:
        envelope.agent.operations.notify(f"{path} {event}")
    except PeerNotFoundError as error:
        _log.warning("cannot notify %s of %s: %s", path, event, error)


# -- projects ------------------------------------------------------------------------------------------------


async def _add_project(envelope: Envelope, project: ProjectIdentifier) -> ProjectMapping:
    agents = Subordinates(envelope)
    if (error := await agents.missing()) is not None:
        raise error
    was_there = await agents.account(IsExistingProject(project))
    try:
        await envelope.progress("adding the group of the project")
        mapping: ProjectMapping = await agents.account(AddProject(project))
        await envelope.progress("adding the project's directories and its account in the scheduler")
        await agents.both(AddLocalProject(mapping), AddLocalProject(mapping))
    except JobError:
        if not was_there:
            await envelope.progress("undoing what was done, since a step failed")
            await _undo_project(agents, project)
        raise
    notify(envelope, f"project_added {project}")
    return mapping


async def _undo_project(agents: Subordinates, project: ProjectIdentifier) -> None:
    try:
        mapping = await agents.account(RemoveProject(project))
        if not await agents.account(GetUsers(project)):
            await agents.both_logged(RemoveLocalProject(mapping), RemoveLocalProject(mapping))
    except JobError as error:
        _log.warning("cannot undo the adding of %s: %s", project, error)


async def _remove_project(envelope: Envelope, project: ProjectIdentifier) -> ProjectMapping:
    agents = Subordinates(envelope)
    if (error := await agents.missing()) is not None:
        raise error
    mapping: ProjectMapping = await agents.account(RemoveProject(project))
    if users := await agents.account(GetUsers(project)):
        await envelope.progress(f"directories are kept: {len(users)} users are left")
    else:
        await envelope.progress("removing the project's directories and its waiting jobs")
        await agents.both(RemoveLocalProject(mapping), RemoveLocalProject(mapping))
    notify(envelope, f"project_removed {project}")
    return mapping


# -- users ---------------------------------------------------------------------------------------------------


async def _mapping_if_protected(agents: Subordinates, user: UserIdentifier) -> UserMapping | None:
    """Return the mapping of a user whose account belongs to an administrator; None for any other."""
    if not await agents.account(IsProtectedUser(user)):
        return None
    mapping: UserMapping = await agents.account(GetUserMapping(user))
    return mapping


async def _add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    agents = Subordinates(envelope)
    if (missing := await agents.missing()) is not None:
        if (protected := await _mapping_if_protected(agents, user)) is not None:
            return protected
        raise missing
    if await agents.account(IsBlockedUser(user)):
        blocked: UserMapping = await agents.account(GetUserMapping(user))
        return blocked
    was_there = await agents.account(IsExistingUser(user))
    for number in range(1, MAX_TRIES + 1):
        try:
            is_protected = await agents.account(IsProtectedUser(user))
            # An account that was not there before this job and looks protected later is one that it left half-made.
            if is_protected and (number == 1 or was_there):
                mapping: UserMapping = await agents.account(GetUserMapping(user))
            else:
                mapping = await _make_user(envelope, agents, user)
        except JobError as error:
            if number < MAX_TRIES and error.kind not in _HOPELESS:
                await envelope.progress(f"try {number} failed: {error}")
                await trio.sleep(RETRY_SECONDS[number - 1])
                continue
            if not was_there:
                await _undo_user(agents, user)
            raise
        notify(envelope, f"user_added {user}")
        return mapping
    raise AssertionError("the last try returns or raises")


async def _make_user(envelope: Envelope, agents: Subordinates, user: UserIdentifier) -> UserMapping:
    await envelope.progress("adding the account")
    mapping: UserMapping = await agents.account(AddUser(user))
    await envelope.progress("adding the user's directories, and the user in the scheduler")
    errors: dict[AgentType, JobError] = {}

    async def directories() -> None:
        await agents.filesystem(AddLocalUser(mapping))
        home = await agents.filesystem(GetLocalHomeDir(mapping))
        await agents.account(_update_home(user, home))

    async def association() -> None:
        await agents.scheduler(AddLocalUser(mapping))

    async def caught(agent_type: AgentType, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except JobError as error:
            errors[agent_type] = error

    async with parallel() as nursery:
        nursery.start_soon(caught, AgentType.FILESYSTEM, directories)
        nursery.start_soon(caught, AgentType.SCHEDULER, association)
    raise_first(errors)
    return mapping


def _update_home(user: UserIdentifier, home: str) -> UpdateHomedir:
    try:
        return UpdateHomedir(user, home)
    except ParseError as error:
        # An argument of an instruction ends at a blank: sent as it is, the path would arrive cut short.
        message = f"The home directory {quoted(home)} cannot be sent to the account agent: {error}"
        raise JobError(message, kind="invalid") from error


async def _undo_user(agents: Subordinates, user: UserIdentifier) -> None:
    await agents.envelope.progress("removing the account again, since a step failed")
    try:
        await agents.account(RemoveUser(user))
    except JobError as error:
        _log.warning("cannot undo the adding of %s: %s", user, error)


async def _remove_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    agents = Subordinates(envelope)
    error = await agents.missing()
    mapping = await _mapping_if_protected(agents, user)
    if error is not None:
        if mapping is not None:
            return mapping
        raise error
    if mapping is None:
        await envelope.progress("removing the account")
        mapping = await agents.account(RemoveUser(user))
        await envelope.progress("removing the user's directories and waiting jobs")
        await agents.both(RemoveLocalUser(mapping), RemoveLocalUser(mapping))
    notify(envelope, f"user_removed {user}")
    return mapping


async def _block(
    agents: Subordinates, user: UserIdentifier, instruction: type[BlockUser | UnblockUser]
) -> UserMapping:
    protected = await _mapping_if_protected(agents, user)
    if protected is not None:
        return protected
    mapping: UserMapping = await agents.account(instruction(user))
    return mapping


async def _block_all(
    agents: Subordinates, project: ProjectIdentifier, instruction: type[BlockUser | UnblockUser]
) -> list[UserMapping]:
    async def one(user: UserMapping) -> UserMapping | None:
        try:
            return await _block(agents, user.user, instruction)
        except JobError as error:
            _log.warning("cannot %s %s: %s", instruction.keyword, user.user, error)
            return None

    users = await side_by_side(list(await agents.account(GetUsers(project))), one)
    return [user for user in users if user is not None]


# -- the agent -----------------------------------------------------------------------------------------------


def make_handlers() -> Handlers:
    """Make the table of handlers."""
    table = Handlers()
    table.add(AddProject)(_add_project)
    table.add(RemoveProject)(_remove_project)
    table.add(AddUser)(_add_user)
    table.add(RemoveUser)(_remove_user)
    _add_blocking(table)
    add_questions(table)
    return table


def _add_blocking(table: Handlers) -> None:
    @table.add(BlockUser)
    async def block_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        mapping = await _block(Subordinates(envelope), user, BlockUser)
        notify(envelope, f"user_blocked {user}")
        return mapping

    @table.add(UnblockUser)
    async def unblock_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        mapping = await _block(Subordinates(envelope), user, UnblockUser)
        notify(envelope, f"user_unblocked {user}")
        return mapping

    @table.add(BlockProject)
    async def block_project(envelope: Envelope, project: ProjectIdentifier) -> list[UserMapping]:
        users = await _block_all(Subordinates(envelope), project, BlockUser)
        notify(envelope, f"project_blocked {project}")
        return users

    @table.add(UnblockProject)
    async def unblock_project(envelope: Envelope, project: ProjectIdentifier) -> list[UserMapping]:
        users = await _block_all(Subordinates(envelope), project, UnblockUser)
        notify(envelope, f"project_unblocked {project}")
        return users

    @table.add(IsBlockedProject)
    async def is_blocked_project(envelope: Envelope, project: ProjectIdentifier) -> bool:
        agents = Subordinates(envelope)
        users = await agents.account(GetUsers(project))
        for user in users:
            if not await agents.account(IsBlockedUser(user.user)):
                return False
        return bool(users)


handlers: Final = make_handlers()
"""The handlers of the agent; add to it before running the agent."""


async def run(config: AgentConfig) -> None:
    """Run an instance agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type.
    """
    await run_role(config, AgentType.INSTANCE, handlers)
