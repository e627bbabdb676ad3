"""Lines that break at random: whatever happens, what users are told is in order, and all meet again."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from paddington import (
    Connected,
    Disconnected,
    Peer,
    PeerNotConnectedError,
    Received,
    ServiceConfig,
    open_service,
)
from paddington.errors import ConnectionLostError
from paddington.testing import MemoryNetwork

from .services import PORT

ZONE = "default"
CLUSTERS = ["one", "two", "three"]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 5)),
        st.tuples(st.just("freeze"), st.integers(0, 5)),
        st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.3, 1.0, 25.0, 120.0, 310.0])),
        st.tuples(st.just("send"), st.sampled_from(CLUSTERS)),
        st.tuples(st.just("answer"), st.sampled_from(CLUSTERS)),
        st.tuples(st.just("disconnect"), st.sampled_from(CLUSTERS)),
        st.tuples(st.just("block"), st.booleans()),
        st.tuples(st.just("twin"), st.sampled_from(CLUSTERS)),
        st.tuples(st.just("untwin"), st.sampled_from(CLUSTERS)),
    ),
    max_size=25,
)


class Story:
    """Follows the events of one service and holds them to their order."""

    def __init__(self):
        self.live = set()
        self.sent = {}
        self.got = {}

    async def follow(self, service):
        async for event in service.events:
            match event:
                case Connected(peer):
                    assert peer not in self.live
                    self.live.add(peer)
                case Received(peer, text):
                    assert peer in self.live
                    # Lines may lose the end of what was sent, never the order, and nothing comes twice.
                    number = int(text)
                    assert number > self.got.get(peer, -1)
                    self.got[peer] = number
                case Disconnected(peer, reason):
                    assert reason
                    self.live.remove(peer)
        # The service is closed.


async def play(script):
    network = MemoryNetwork()
    portal_config = ServiceConfig.create("portal", url=f"ws://localhost:{PORT}", port=PORT)
    configs = {}
    for name in CLUSTERS:
        configs[name] = ServiceConfig.create(name)
        configs[name].add_server(portal_config.add_client(name, "127.0.0.1"))
    numbers = iter(range(10**6))
    stories = {name: Story() for name in ["portal", *CLUSTERS]}
    services = {}
    twins = {name: [] for name in CLUSTERS}

    async def twin(name, *, task_status):
        """A second process of the same name, which waits to take over."""
        with trio.CancelScope() as scope:
            async with (
                open_service(configs[name], network=network) as service,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(Story().follow, service)
                task_status.started(scope)
                await trio.sleep_forever()

    async with open_service(portal_config, network=network) as portal, trio.open_nursery() as nursery:
        nursery.start_soon(stories["portal"].follow, portal)

        async def run(name, *, task_status):
            async with open_service(configs[name], network=network) as service, trio.open_nursery() as inner:
                inner.start_soon(stories[name].follow, service)
                task_status.started(service)
                await trio.sleep_forever()

        for name in CLUSTERS:
            services[name] = await nursery.start(run, name)

        for what, value in script:
            try:
                match what:
                    case "cut" | "freeze":
                        lines = network.lines
                        if value < len(lines):
                            getattr(lines[value], what)()
                    case "sleep":
                        await trio.sleep(value)
                    case "send":
                        await services[value].send(Peer("portal", ZONE), str(next(numbers)))
                    case "answer":
                        several = [str(next(numbers)) for _ in range(3)]
                        await portal.connection(Peer(value, ZONE)).send_some(several)
                    case "disconnect":
                        await portal.disconnect(Peer(value, ZONE))
                    case "block":
                        (network.block if value else network.unblock)(PORT)
                    case "twin":
                        if len(twins[value]) < 3:
                            twins[value].append(await nursery.start(twin, value))
                    case "untwin":
                        if twins[value]:
                            twins[value].pop(0).cancel()
            except (PeerNotConnectedError, ConnectionLostError):
                pass

        # Nothing breaks any more: after the watchdog, the longest pause and a poll, all have met again.
        network.unblock(PORT)
        for scopes in twins.values():
            for scope in scopes:
                scope.cancel()
        await trio.sleep(300 + 30 + 30 + 5)
        assert set(portal.peers) == {Peer(name, ZONE) for name in CLUSTERS}
        assert stories["portal"].live == set(portal.peers)
        for name, service in services.items():
            assert service.peers == (Peer("portal", ZONE),), name
        assert portal.statistics().standing_by == {}
        assert portal.statistics().unauthenticated == 0
        for name, service in services.items():
            await service.send(Peer("portal", ZONE), str(next(numbers)))
            await portal.send(Peer(name, ZONE), str(next(numbers)))
        last = next(numbers)
        await trio.sleep(1)
        assert max(stories["portal"].got.values()) > last - 7
        assert all(
            story.got[Peer("portal", ZONE)] > last - 7 for name, story in stories.items() if name != "portal"
        )
        nursery.cancel_scope.cancel()
    assert network.lines == ()


@settings(max_examples=80)
@given(steps)
def test_whatever_breaks_the_story_is_in_order_and_all_meet_again(script):
    trio.run(play, script, clock=MockClock(autojump_threshold=0))
