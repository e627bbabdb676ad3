"""Asks the account, filesystem and scheduler agents of an instance, and checks what they answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from ..agent.envelope import Envelope
from ..agent_type import AgentType
from ..errors import JobError, ParseError, PeerNotFoundError
from ..grammar import Instruction
from ..grammar.results import NONE, decode_result, encode_result
from .role import SUB_JOB_SECONDS, parallel

if TYPE_CHECKING:
    from ..links.peers import PeerState

_log = logging.getLogger("templemeads.roles.instance")

WAIT_SECONDS: Final = 10.0
"""How long to wait for an agent that has not registered since the instance started."""

ROLES: Final[Mapping[AgentType, str]] = {
    AgentType.FILESYSTEM: "filesystem",
    AgentType.SCHEDULER: "scheduler",
    AgentType.ACCOUNT: "account",
}
"""What the agents of an instance are called in messages, in the order in which they are looked for."""


@attrs.frozen
class Subordinates:
    """The agents that an instance works with, for one job.

    Attributes:
        envelope: The job.
    """

    envelope: Envelope

    async def account(self, instruction: Instruction) -> Any:
        """Ask the account agent; see `ask`."""
        return await self.ask(AgentType.ACCOUNT, instruction)

    async def filesystem(self, instruction: Instruction) -> Any:
        """Ask the filesystem agent; see `ask`."""
        return await self.ask(AgentType.FILESYSTEM, instruction)

    async def scheduler(self, instruction: Instruction) -> Any:
        """Ask the scheduler agent; see `ask`."""
        return await self.ask(AgentType.SCHEDULER, instruction)

    async def ask(self, agent_type: AgentType, instruction: Instruction, *, discard: bool = False) -> Any:
        """Ask the agent of a type, and return the value that the instruction promises.

        Args:
            agent_type: The type.
            instruction: What it shall do.
            discard: Accept any answer, and return None.

        Raises:
            JobError: There is no such agent, or it failed, or answered something else than was promised.
        """
        peer = await self.find(agent_type)
        me = self.envelope.recipient
        try:
            value = await self.envelope.agent.ask(
                f"{me}.{peer.name} {instruction}", zone=peer.zone, lifetime=SUB_JOB_SECONDS
            )
        except ParseError as error:
            raise JobError(
                f"{peer.name} gave an answer that cannot be read: {error}", kind="invalid"
            ) from error
        return None if discard else promised(value, instruction)

    async def find(self, agent_type: AgentType) -> Any:
        """Return the peer of a type, waiting for it for `WAIT_SECONDS`. One that is away but was here counts.

        Raises:
            JobError: There is none.
        """
        agent = self.envelope.agent
        states: list[PeerState] = agent.peers.select(agent_type)
        ready = [state for state in states if state.is_ready]
        if states:
            return (ready or states)[0].peer
        with trio.move_on_after(WAIT_SECONDS):
            try:
                found = await agent.wait_for(agent_type)
            except PeerNotFoundError:
                raise _missing(agent_type) from None
            return found
        raise _missing(agent_type)

    async def missing(self) -> JobError | None:
        """Wait until all three kinds of agents are there; return the error if one does not come."""
        errors: dict[AgentType, JobError] = {}

        async def look(agent_type: AgentType) -> None:
            try:
                await self.find(agent_type)
            except JobError as error:
                errors[agent_type] = error

        async with parallel() as nursery:
            for agent_type in ROLES:
                nursery.start_soon(look, agent_type)
        return next((errors[agent_type] for agent_type in ROLES if agent_type in errors), None)

    async def both(self, files: Instruction, scheduler: Instruction) -> None:
        """Ask the filesystem and the scheduler agent at once, and both to the end.

        Raises:
            JobError: One failed, with its message; or both, with both messages.
        """
        await self.together({AgentType.FILESYSTEM: [files], AgentType.SCHEDULER: [scheduler]})

    async def together(self, work: Mapping[AgentType, list[Instruction]]) -> None:
        """Ask several agents at once, each for its instructions in order, and each as far as it gets; see `both`."""
        errors: dict[AgentType, JobError] = {}

        async def run(agent_type: AgentType, instructions: list[Instruction]) -> None:
            try:
                for instruction in instructions:
                    await self.ask(agent_type, instruction)
            except JobError as error:
                errors[agent_type] = error

        async with parallel() as nursery:
            for agent_type, instructions in work.items():
                nursery.start_soon(run, agent_type, instructions)
        raise_first(errors)

    async def both_logged(self, files: Instruction, scheduler: Instruction) -> None:
        """Ask both, and only log what fails: for clean-up after an error that is reported itself."""
        try:
            await self.both(files, scheduler)
        except JobError as error:
            _log.warning("cannot undo all of %s: %s", self.envelope.job.instruction.keyword, error)


def raise_first(errors: Mapping[AgentType, JobError]) -> None:
    """Raise the error of one agent as it is, or those of several as one that names each.

    Raises:
        JobError: There is at least one.
    """
    found = [(agent_type, errors[agent_type]) for agent_type in ROLES if agent_type in errors]
    if len(found) == 1:
        raise found[0][1]
    if found:
        message = "; ".join(f"{ROLES[agent_type]}: {error}" for agent_type, error in found)
        raise JobError(message, kind=found[0][1].kind)


def promised(value: Any, instruction: Instruction) -> Any:
    """Return an answer as the type that the instruction promises, under whatever type name it came.

    Raises:
        JobError: There is no value though one is promised, or the other way round, or it is of another form.
    """
    wanted = instruction.result_type()
    if wanted == NONE:
        if value is not None:
            raise JobError("Result type is not None for completed job", kind="invalid")
        return None
    if value is None:
        raise JobError("No result available", kind="invalid")
    try:
        text, name = encode_result(value, instruction)
        return value if name == wanted else decode_result(text, wanted)
    except (ParseError, TypeError) as error:
        raise JobError(
            f"The answer to {instruction.keyword} is not of type {wanted}: {error}", kind="invalid"
        ) from error


def _missing(agent_type: AgentType) -> JobError:
    return JobError(f"Cannot run the job because there is no {ROLES[agent_type]} agent", kind="unroutable")
