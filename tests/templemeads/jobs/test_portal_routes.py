import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from paddington import Peer, ServiceConfig
from templemeads import AgentConfig, AgentType, Envelope, Job, Limits, RefusedError
from templemeads.agent.agent import make_exchange
from templemeads.jobs.commands import PortalRoute, PortalRoutes, Put, Register, Sync, Update
from templemeads.jobs.portal_routes import LONGEST_ROUTE, ROUTES_IN_MESSAGE, KnownRoute, RouteTable
from templemeads.links.peers import Peers
from tests.templemeads.scripted import open_scripted
from tests.templemeads.values import job

AIP = Peer("aip1")
OTHER = Peer("aip2")
LEAF = Peer("freeipa")
PROVIDER = AgentType.PROVIDER


def told(*pairs: tuple[str, str], withdrawn: tuple[str, ...] = ()) -> PortalRoutes:
    return PortalRoutes(tuple(PortalRoute(*pair) for pair in pairs), withdrawn)


def table(**options) -> RouteTable:
    return RouteTable("cluster", **options)


def request(path: str, user: str = "fred.proj.brics") -> Job:
    return job(1, f"{path} add_user {user}")


# -- who may tell what (P52, P53) -------------------------------------------------------------------------------------


def test_a_route_ends_with_its_teller_and_goes_on_with_us_at_its_end():
    one = table()
    assert one.receive(AIP, PROVIDER, told(("brics", "brics.aip1"))).changed
    assert one.known == (KnownRoute("default", "brics", "brics.aip1.cluster", AIP, collides=False),)
    messages, _ = one.messages_for(LEAF, {})
    assert messages == (told(("brics", "brics.aip1.cluster")),)


@pytest.mark.parametrize(
    "declared",
    [None, *(one for one in AgentType if one not in {PROVIDER, AgentType.PLATFORM, AgentType.INSTANCE})],
)
def test_only_peers_declared_to_be_on_a_portals_side_tell_routes(declared):
    one = table()
    taken = one.receive(LEAF, declared, told(("brics", "brics.freeipa"), withdrawn=("brics",)))
    assert not taken.changed
    assert "declares to be provider, platform or instance" in taken.refusals[0]
    assert one.known == ()
    one.check_owner(LEAF, request("any.freeipa.cluster"))  # so no leaf switches the check on


@pytest.mark.parametrize(
    ("portal", "route", "problem"),
    [
        ("brics", "other.aip1", "begins with its portal"),
        ("brics", "brics.aip2", "ends with the agent that tells it"),
        ("brics", "brics", "two or more agents"),
        ("brics", "", "two or more agents"),
        ("brics", "brics.x y.aip1", "white space"),
        ("brics", "brics.cluster.aip1", "passes each agent once"),
        ("brics", "brics.x.x.aip1", "passes each agent once"),
        ("brics", "brics.aip1.brics.aip1", "passes each agent once"),
        ("aip1", "aip1.aip1", "passes each agent once"),
        ("brics", ".".join(["brics", *(f"n{i}" for i in range(LONGEST_ROUTE - 2)), "aip1"]), "less than 16"),
        ("\x1b[2Jbrics", "brics.aip1", "\\x1b"),
    ],
)
def test_a_route_that_no_honest_neighbour_tells_is_skipped_and_the_rest_of_the_message_taken(
    portal, route, problem
):
    one = table()
    taken = one.receive(AIP, PROVIDER, told((portal, route), ("waldur", "waldur.aip1")))
    assert [known.portal for known in one.known] == ["waldur"]
    (refusal,) = taken.refusals
    assert problem in refusal
    assert refusal.isprintable()


def test_the_longest_route_has_sixteen_agents_with_us():
    longest = ".".join(["brics", *(f"n{i}" for i in range(LONGEST_ROUTE - 3)), "aip1"])
    one = table()
    assert one.receive(AIP, PROVIDER, told(("brics", longest))).changed
    assert len(one.known[0].route.split(".")) == LONGEST_ROUTE
    assert one.messages_for(LEAF, {})[0] == ()  # which the next agent would skip


def test_a_message_with_more_routes_than_existing_agents_take_is_ignored_as_a_whole():
    pairs = [(f"p{i}", f"p{i}.aip1") for i in range(ROUTES_IN_MESSAGE + 1)]
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    assert not one.receive(AIP, PROVIDER, told(*pairs, withdrawn=("brics",))).changed
    assert [known.portal for known in one.known] == ["brics"]
    assert one.receive(AIP, PROVIDER, told(*pairs[:-1])).changed


def test_one_peer_tells_so_many_routes_in_all_and_no_more():
    one = table(most=3)
    for number in range(5):
        one.receive(AIP, PROVIDER, told((f"p{number}", f"p{number}.aip1")))
    assert [known.portal for known in one.known] == ["p0", "p1", "p2"]
    assert one.receive(OTHER, PROVIDER, told(("q", "q.aip2"))).changed  # a limit of each peer
    assert one.receive(AIP, PROVIDER, told(("p0", "p0.x.aip1"))).changed  # what is known may change
    one.receive(AIP, PROVIDER, told(withdrawn=("p0",)))
    assert one.receive(AIP, PROVIDER, told(("p4", "p4.aip1"))).changed


# -- collisions, withdrawals ---------------------------------------------------------------------------------------------


def test_two_routes_for_one_portal_refuse_its_requests_until_one_is_withdrawn():
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1"), ("waldur", "waldur.aip1")))
    taken = one.receive(OTHER, PROVIDER, told(("brics", "brics.aip2")))
    assert "collides" in taken.refusals[0]
    assert "aip1" in taken.refusals[0]
    with pytest.raises(RefusedError, match="Two different routes"):
        one.check_owner(AIP, request("brics.aip1.cluster"))
    one.check_owner(AIP, request("waldur.aip1.cluster", "fred.proj.waldur"))  # no other portal is touched
    assert one.receive(AIP, PROVIDER, told(withdrawn=("brics",))).changed
    one.check_owner(OTHER, request("brics.aip2.cluster"))
    with pytest.raises(RefusedError):
        one.check_owner(AIP, request("brics.aip1.cluster"))


def test_nobody_disputes_the_route_of_our_own_portal():
    one = table(portals=[Peer("brics")])
    taken = one.receive(AIP, PROVIDER, told(("brics", "brics.aip1"), withdrawn=("brics",)))
    assert not taken.changed
    assert "our own neighbour" in taken.refusals[0]
    one.check_owner(Peer("brics"), request("brics.cluster"))
    assert not one.clear("default", "brics")


def test_only_the_teller_withdraws_and_what_it_told_goes_with_it():
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    assert not one.receive(OTHER, PROVIDER, told(withdrawn=("brics", "nobody"))).changed
    assert not one.forget(OTHER)
    assert one.forget(AIP)
    assert one.known == ()
    one.check_owner(AIP, request("x.y.cluster"))


def test_an_operator_clears_what_collides():
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    one.receive(OTHER, PROVIDER, told(("brics", "brics.aip2")))
    assert all(known.collides for known in one.known)
    assert one.clear("default", "brics")
    assert one.known == ()


# -- the check (newer-protocol, section 10.3) -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "user", "problem"),
    [
        ("brics.aip1.cluster", "fred.proj.brics", None),
        ("brics.fake.cluster", "fred.proj.brics", "comes along"),
        ("attacker.aip1.cluster", "fred.proj.brics", "speaks of the portal 'brics'"),
        ("attacker.aip1.cluster", "fred.proj.unheard", "speaks of the portal"),
        ("unheard.aip1.cluster", "fred.proj.unheard", None),
    ],
)
def test_a_job_comes_along_the_route_of_the_portal_that_it_speaks_of(path, user, problem):
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    if problem is None:
        one.check_owner(AIP, request(path, user))
    else:
        with pytest.raises(RefusedError, match=problem):
            one.check_owner(AIP, request(path, user))


def test_what_speaks_of_no_portal_and_zones_without_routes_are_not_checked():
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    one.check_owner(AIP, job(1, "x.y.cluster get_offerings"))
    one.check_owner(Peer("aip1", "internal"), request("attacker.aip1.cluster"))


# -- telling ----------------------------------------------------------------------------------------------------------------


def test_routes_are_told_in_their_zone_only_and_never_back():
    one = table()
    one.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
    assert one.messages_for(AIP, {}) == ((), {})
    assert one.messages_for(Peer("freeipa", "internal"), {}) == ((), {})
    assert one.messages_for(Peer("brics"), {}) == ((), {})  # who is in the route knows it


@given(
    st.lists(
        st.tuples(
            st.sampled_from([AIP, OTHER]),
            st.sampled_from(["tell", "tell other", "withdraw", "forget"]),
            st.sampled_from([f"p{number}" for number in range(20)]),
        ),
        max_size=60,
    )
)
def test_whoever_follows_the_messages_knows_the_first_route_of_each_portal(steps):
    one, known, follower = table(), {}, {}
    for peer, what, portal in steps:
        match what:
            case "tell":
                one.receive(peer, PROVIDER, told((portal, f"{portal}.{peer.name}")))
            case "tell other":
                one.receive(peer, PROVIDER, told((portal, f"{portal}.x.{peer.name}")))
            case "withdraw":
                one.receive(peer, PROVIDER, told(withdrawn=(portal,)))
            case "forget":
                one.forget(peer)
        messages, known = one.messages_for(LEAF, known)
        for message in messages:
            assert len(message.routes) <= ROUTES_IN_MESSAGE
            for gone in message.withdrawn:
                follower.pop(gone)
            follower |= {route.portal: route.route for route in message.routes}
        first = {}
        for entry in one.known:
            first.setdefault(entry.portal, entry.route)
        assert follower == first
        assert one.messages_for(LEAF, known)[0] == ()


# -- in agents --------------------------------------------------------------------------------------------------------------


async def answer(envelope: Envelope) -> Job:
    return envelope.job.completed("done")


async def test_an_agent_next_to_a_declared_portal_originates_and_passes_on_what_it_hears(autojump_clock):
    async with open_scripted(name="brics", declared="portal") as (agent, _):
        assert agent._dispatch.registration().supports_portal_routes
        assert agent.portal_routes.known == (
            KnownRoute("default", "brics", "brics.cluster", None, collides=False),
        )


async def test_an_agent_tells_routes_after_register_to_those_who_read_them(autojump_clock):
    async with open_scripted(name="scheduler", declared="scheduler") as (agent, peer):
        agent.portal_routes.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
        await peer.hear()
        await peer.say(
            Register(AgentType.SCHEDULER, "templemeads", "0.94.0", supports_portal_routes=True), Sync(())
        )
        assert await peer.hear_kind(PortalRoutes) == told(("brics", "brics.aip1.cluster"))


async def test_old_agents_are_told_no_routes(autojump_clock):
    async with open_scripted(name="scheduler", declared="scheduler") as (agent, peer):
        agent.portal_routes.receive(AIP, PROVIDER, told(("brics", "brics.aip1")))
        await peer.introduce(AgentType.SCHEDULER)
        await trio.testing.wait_all_tasks_blocked()
        (state,) = agent.peers.states
        assert state.routes_told == {}


async def test_a_job_off_its_route_is_answered_with_an_error_and_runs_nothing(autojump_clock):
    async with open_scripted(answer, name="aip1", declared="provider") as (agent, peer):
        await peer.introduce(AgentType.PROVIDER)
        await peer.say(told(("brics", "brics.aip1")))
        wrong = Job.parse("brics.fake.aip1.cluster add_user fred.proj.brics", now=agent.now())
        await peer.say(Put(wrong.pending(agent.now())))
        update = await peer.hear_kind(Update)
        assert update.job.error_info.kind == "invalid"
        assert "comes along 'brics.aip1.cluster'" in update.job.result_text
        right = Job.parse("brics.aip1.cluster add_user fred.proj.brics", now=agent.now())
        await peer.say(Put(right.pending(agent.now())))
        assert (await peer.hear_kind(Update)).job.result() == "done"
        assert agent.statistics().refused["owner"] == 1


async def test_routes_of_an_undeclared_peer_are_refused_logged_once_a_minute_and_counted(
    autojump_clock, caplog
):
    async with open_scripted(answer, name="aip1") as (agent, peer):
        await peer.introduce(AgentType.PROVIDER)
        for _ in range(5):
            await peer.say(told(("brics", "brics.aip1")))
        await trio.testing.wait_all_tasks_blocked()
        assert agent.portal_routes.known == ()
        assert agent.statistics().refused["portal-route"] == 5
        assert sum("its type is not declared" in record.getMessage() for record in caplog.records) == 1


async def test_what_a_peer_told_is_forgotten_when_it_goes(autojump_clock):
    async with open_scripted(answer, name="aip1", declared="provider") as (agent, peer):
        await peer.introduce(AgentType.PROVIDER)
        await peer.say(told(("brics", "brics.aip1")))
        await trio.testing.wait_all_tasks_blocked()
        assert len(agent.portal_routes.known) == 1
        await peer.connection.aclose()
        await agent.wait_gone("aip1")
        assert agent.portal_routes.known == ()


def test_leaves_do_not_check():
    for agent_type in AgentType:
        config = AgentConfig(ServiceConfig.create("cluster"), agent_type, limits=Limits())
        peers, routes = Peers(None, ()), RouteTable("cluster", (), most=1)
        checks = make_exchange(config, peers, routes).check_owner is not None
        assert checks == (agent_type in {AgentType.PROVIDER, AgentType.PLATFORM, AgentType.INSTANCE})
