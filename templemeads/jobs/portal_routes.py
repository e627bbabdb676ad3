"""Portal routes: through which agents the requests of each portal properly arrive.

An agent deep in the network sees only its neighbour. Routes tell it more: the agent next to a portal (whose configuration
*declares* that peer to be one) originates the route ``<portal>.<itself>``; each agent appends its own name and tells it
on. Where at least one route is known, a job whose instruction speaks of a portal must have come along that portal's route.

Routes are also a way to harm: whoever tells the first one in a zone switches the check on, and a second route for the same
portal makes every request of it suspect. So there are more rules here than existing agents have (*security-cases*, P51 to
P53), each of which only ever refuses what an honest neighbour does not send:

Rule 1. Routes are taken only from peers *declared* to be on a portal's side: providers, platforms, instances.
Rule 2. A route begins with its portal, ends with the peer that tells it, names nobody twice, and does not name us.
Rule 3. An originated route is beyond dispute: another one for the same portal is refused, and changes nothing.
Rule 4. What one peer tells is bounded in all, not only in one message.

Source: the protocol page *newer-protocol*, sections 10.2 and 10.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from paddington import Peer

from ..agent_type import AgentType
from ..errors import ParseError, RefusedError
from ..grammar import Destination
from ..text import printable
from .commands import PortalRoute, PortalRoutes
from .job import Job

ROUTES_IN_MESSAGE: Final = 16
"""A message with more routes is ignored as a whole by existing agents."""

LONGEST_ROUTE: Final = 16
"""Agents in a route, our own name included; a longer one is skipped by existing agents."""

TELLERS: Final = frozenset({AgentType.PROVIDER, AgentType.PLATFORM, AgentType.INSTANCE})
"""What a peer must be declared as for its routes to be believed."""

CHECKERS: Final = TELLERS
"""What an agent is that holds jobs to the routes; leaves serve an agent that has checked already."""


@attrs.frozen
class KnownRoute:
    """One entry of the table, for operators.

    Attributes:
        zone: The zone of the peer that told it.
        portal: The portal's name.
        route: The agents from the portal to us.
        teller: Who told it, or None if it is our own.
        collides: Whether another peer tells another route for the same portal, so that its requests are refused.

    """

    zone: str
    portal: str
    route: str
    teller: Peer | None
    collides: bool


@attrs.frozen
class Taken:
    """What came of a message.

    Attributes:
        changed: Whether the table is another one now, so that peers are to be told.
        refusals: One sentence for each thing that was not taken.

    """

    changed: bool
    refusals: tuple[str, ...] = ()


class RouteTable:
    """The portal routes that one agent knows.

    Args:
        name: The agent's own name.
        portals: Peers that the configuration declares to be portals: their routes begin here.
        most: How many routes one peer may tell.

    """

    def __init__(self, name: str, portals: Iterable[Peer] = (), *, most: int = 256) -> None:
        self._name = name
        self._most = most
        self._originated = {(peer.zone, peer.name): f"{peer.name}.{name}" for peer in portals}
        self._told: dict[tuple[str, str], dict[Peer, str]] = {}

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[KnownRoute, ...]:
        """The whole table, our own routes first."""
        own = [KnownRoute(*key, route, None, collides=False) for key, route in self._originated.items()]
        told = [
            KnownRoute(*key, route, teller, collides=len(tellers) > 1)
            for key, tellers in self._told.items()
            for teller, route in tellers.items()
        ]
        return (*own, *told)

    def check_owner(self, sender: Peer, job: Job) -> None:
        """Hold a job that has arrived here to the route of the portal that it speaks of.

        Args:
            sender: The neighbour that it came from.
            job: The job.

        Raises:
            RefusedError: It came another way, or nobody can say which way is the right one.

        """
        portal = job.instruction.owning_portal()
        if portal is None or not any(zone == sender.zone for zone, _ in (*self._originated, *self._told)):
            return
        if portal != job.destination.first:
            raise RefusedError(
                f"{job.instruction.keyword} speaks of the portal {portal!r}, but the job comes from "
                f"{printable(job.destination.first, 64)!r}"
            )
        routes = self._routes_of(sender.zone, portal)
        if len(routes) > 1:
            raise RefusedError(
                f"Two different routes are told for the portal {portal!r}: nobody can say which is right"
            )
        path = job.destination.agents
        if routes and path[: len(expected := routes[0].split("."))] != tuple(expected):
            raise RefusedError(
                f"A job of the portal {portal!r} comes along {routes[0]!r}, not {printable(str(job.destination), 200)!r}"
            )

    def messages_for(
        self, peer: Peer, told: Mapping[str, str]
    ) -> tuple[tuple[PortalRoutes, ...], dict[str, str]]:
        """Return what a peer must be told now, and what it has been told then.

        Args:
            peer: Who; not to be asked for a peer that is declared to be a portal.
            told: The route by portal that this peer was told on this connection before.

        """
        current = {
            portal: routes[0]
            for zone, portal in {**self._originated, **self._told}
            if zone == peer.zone
            and (routes := self._routes_of(zone, portal))
            and peer not in self._told.get((zone, portal), ())
            and peer.name not in (agents := routes[0].split("."))
            and len(agents) < LONGEST_ROUTE
        }
        news = [PortalRoute(portal, route) for portal, route in current.items() if told.get(portal) != route]
        gone = tuple(portal for portal in told if told[portal] != current.get(portal))
        messages = [
            PortalRoutes((), gone[at : at + ROUTES_IN_MESSAGE])
            for at in range(0, len(gone), ROUTES_IN_MESSAGE)
        ]
        messages += [
            PortalRoutes(tuple(news[at : at + ROUTES_IN_MESSAGE]))
            for at in range(0, len(news), ROUTES_IN_MESSAGE)
        ]
        return tuple(messages), current

    # -- changing -----------------------------------------------------------------------------------------------------

    def receive(self, sender: Peer, declared: AgentType | None, message: PortalRoutes) -> Taken:
        """Take what a peer tells.

        Args:
            sender: The peer.
            declared: What our configuration declares it to be.
            message: Its routes and withdrawals.

        """
        if declared not in TELLERS:
            kind = "not declared" if declared is None else f"declared as {declared}"
            problem = (
                f"it tells portal routes, but its type is {kind}: they are taken from peers that the configuration "
                f"declares to be provider, platform or instance"
            )
            return Taken(changed=False, refusals=(problem,))
        if len(message.routes) > ROUTES_IN_MESSAGE:
            problem = f"{len(message.routes)} portal routes in one message are above {ROUTES_IN_MESSAGE}"
            return Taken(changed=False, refusals=(problem,))
        changed = False
        refusals = []
        for portal in message.withdrawn:
            changed |= self._withdraw(sender, (sender.zone, portal))
        for told in message.routes:
            shown = f"the route {printable(told.route, 200)!r} for {printable(told.portal, 64)!r}"
            try:
                changed |= self._add(sender, told)
            except (ParseError, RefusedError) as error:
                refusals.append(f"{shown}: {error}")
            else:
                if len(ways := self._told[sender.zone, told.portal]) > 1:
                    tellers = " and ".join(str(teller) for teller in ways)
                    refusals.append(
                        f"{shown} collides: {tellers} tell different ones, so requests of this portal are refused "
                        f"until one of them withdraws or disconnects, or an operator clears it"
                    )
        return Taken(changed, tuple(refusals))

    def forget(self, teller: Peer) -> bool:
        """Withdraw all that a peer told, since it is gone; return whether there was anything."""
        return sum(self._withdraw(teller, key) for key in tuple(self._told)) > 0

    def clear(self, zone: str, portal: str) -> bool:
        """Forget what anybody told of a portal, as an operator asks; our own route stays."""
        return self._told.pop((zone, portal), None) is not None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _routes_of(self, zone: str, portal: str) -> list[str]:
        own = self._originated.get((zone, portal))
        return [own] if own is not None else list(self._told.get((zone, portal), {}).values())

    def _add(self, sender: Peer, told: PortalRoute) -> bool:
        agents = Destination.parse(told.route).agents
        key = sender.zone, told.portal
        if agents[0] != told.portal:
            raise RefusedError("a route begins with its portal")
        if agents[-1] != sender.name:
            raise RefusedError("a route ends with the agent that tells it")
        if self._name in agents or len(set(agents)) < len(agents):
            raise RefusedError("a route passes each agent once, and us at its end")
        if len(agents) >= LONGEST_ROUTE:
            raise RefusedError(f"a route has less than {LONGEST_ROUTE} agents, not {len(agents)}")
        if key in self._originated:
            raise RefusedError(
                f"{told.portal!r} is our own neighbour, and declared to be a portal: its route begins here"
            )
        tellers = self._told.get(key, {})
        if sender not in tellers and sum(sender in others for others in self._told.values()) >= self._most:
            raise RefusedError(f"it has told {self._most} routes already, which is the limit")
        route = ".".join((*agents, self._name))
        if tellers.get(sender) == route:
            return False
        self._told.setdefault(key, {})[sender] = route
        return True

    def _withdraw(self, teller: Peer, key: tuple[str, str]) -> bool:
        tellers = self._told.get(key, {})
        if teller not in tellers:
            return False
        del tellers[teller]
        if not tellers:
            del self._told[key]
        return True
