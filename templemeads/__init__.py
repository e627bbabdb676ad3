"""Networks of agents that send each other jobs over encrypted peer-to-peer connections.

A *portal* puts the job `portal.cluster add_user fred.proj.org`; it travels the path of agents that it names, each of
which knows only its neighbours; the last one runs its *handler*, an async function, and the result comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .agent.agent import Agent as Agent
    from .agent.agent import AgentStatistics as AgentStatistics
    from .agent.agent import open_agent as open_agent
    from .agent.agent import refuse_every_job as refuse_every_job
    from .agent.envelope import Envelope as Envelope
    from .agent.handlers import Handler as Handler
    from .agent.handlers import Handlers as Handlers
    from .agent.policies import Retry as Retry
    from .agent.threads import BlockingEnvelope as BlockingEnvelope
    from .agent_type import AgentType as AgentType
    from .config import AgentConfig as AgentConfig
    from .daemon.run import run_agent as run_agent
    from .errors import AgentStoppedError as AgentStoppedError
    from .errors import JobError as JobError
    from .errors import ParseError as ParseError
    from .errors import PeerNotFoundError as PeerNotFoundError
    from .errors import PeerRefusedError as PeerRefusedError
    from .errors import RefusedError as RefusedError
    from .errors import StateError as StateError
    from .errors import StoreError as StoreError
    from .errors import TemplemeadsError as TemplemeadsError
    from .errors import UnknownInstruction as UnknownInstruction
    from .grammar import Destination as Destination
    from .grammar import Instruction as Instruction
    from .grammar import Notification as Notification
    from .grammar import PortalIdentifier as PortalIdentifier
    from .grammar import ProjectIdentifier as ProjectIdentifier
    from .grammar import ProjectMapping as ProjectMapping
    from .grammar import UserIdentifier as UserIdentifier
    from .grammar import UserMapping as UserMapping
    from .jobs.error_info import ErrorInfo as ErrorInfo
    from .jobs.job import Job as Job
    from .jobs.job import Status as Status
    from .limits import Limits as Limits
    from .links.agent_peer import AgentPeer as AgentPeer
else:
    from paddington.lazy import door

    __getattr__, __dir__ = door(
        __name__,
        {
            "Agent": "agent.agent",
            "AgentStatistics": "agent.agent",
            "open_agent": "agent.agent",
            "refuse_every_job": "agent.agent",
            "AgentType": "agent_type",
            "AgentConfig": "config",
            "Envelope": "agent.envelope",
            "AgentStoppedError": "errors",
            "JobError": "errors",
            "ParseError": "errors",
            "PeerNotFoundError": "errors",
            "PeerRefusedError": "errors",
            "RefusedError": "errors",
            "StateError": "errors",
            "StoreError": "errors",
            "TemplemeadsError": "errors",
            "UnknownInstruction": "errors",
            "Destination": "grammar",
            "Instruction": "grammar",
            "Notification": "grammar",
            "PortalIdentifier": "grammar",
            "ProjectIdentifier": "grammar",
            "ProjectMapping": "grammar",
            "UserIdentifier": "grammar",
            "UserMapping": "grammar",
            "Handler": "agent.handlers",
            "Handlers": "agent.handlers",
            "Retry": "agent.policies",
            "BlockingEnvelope": "agent.threads",
            "Job": "jobs.job",
            "Status": "jobs.job",
            "ErrorInfo": "jobs.error_info",
            "Limits": "limits",
            "AgentPeer": "links.agent_peer",
            "run_agent": "daemon.run",
            "grammar": "",
        },
    )

__all__ = [
    # Agents
    "Agent",
    "AgentConfig",
    "AgentPeer",
    "AgentStatistics",
    "AgentType",
    "Limits",
    "open_agent",
    "refuse_every_job",
    "run_agent",
    # Handlers
    "BlockingEnvelope",
    "Envelope",
    "Handler",
    "Handlers",
    "Retry",
    # Jobs
    "ErrorInfo",
    "Job",
    "Status",
    # The grammar, as far as everyday use goes; all of it is in templemeads.grammar
    "Destination",
    "Instruction",
    "Notification",
    "PortalIdentifier",
    "ProjectIdentifier",
    "ProjectMapping",
    "UserIdentifier",
    "UserMapping",
    # Errors
    "AgentStoppedError",
    "JobError",
    "ParseError",
    "PeerNotFoundError",
    "PeerRefusedError",
    "RefusedError",
    "StateError",
    "StoreError",
    "TemplemeadsError",
    "UnknownInstruction",
    # About
    "__version__",
]
