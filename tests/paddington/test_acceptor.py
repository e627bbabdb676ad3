"""From an accepted stream to a primary connection: addresses, proxies, and an accept loop that lives on."""

import errno

import pytest
import trio

from paddington import Connected, ServiceConfig, TcpNetwork, open_service
from paddington.testing import MemoryNetwork

from .services import CLUSTER, RawClient, handshake_of, introduce, records

PROXY = "10.9.9.9"


async def call(network, config, *, extra=()):
    """Whether a caller with the right keys gets in, with these headers of a proxy."""
    handshake = handshake_of(config)
    try:
        client = await RawClient.call(network, headers=[*handshake.headers(), *extra])
    except AssertionError:
        return False
    await client.send_text(handshake.first_frame())
    event = await client.receive()
    await client.stream.aclose()
    return event is not None


def header(value, name=b"X-Real-IP"):
    return (name, value.encode("latin-1"))


@pytest.mark.parametrize(
    ("caller", "headers", "inside"),
    [
        # Protocol page *newer-protocol*, section 7.1; security case F6.
        ("10.0.0.5", [], True),
        ("10.0.0.6", [], False),
        ("10.0.0.5", [header("192.0.2.1")], True),
        ("10.0.0.6", [header("10.0.0.5")], False),
        (PROXY, [header("10.0.0.5")], True),
        (PROXY, [header("10.0.0.5", b"x-real-ip")], True),
        (PROXY, [header("::ffff:10.0.0.5")], True),
        (PROXY, [header("10.0.0.6")], False),
        (PROXY, [], False),
        (PROXY, [header("10.0.0.5, 10.0.0.6")], False),
        (PROXY, [header("10.0.0.6, 10.0.0.5")], False),
        (PROXY, [header("10.0.0.5"), header("10.0.0.5")], False),
        (PROXY, [header("10.0.0.5:80")], False),
        (PROXY, [header("[::1]")], False),
        (PROXY, [header("fe80::1%eth0")], False),
        (PROXY, [header("")], False),
        (PROXY, [header("10.0.0.5", b"X-Forwarded-For")], False),
        (PROXY, [header("10.0.0.\xe9")], False),
    ],
)
async def test_a_proxys_header_is_believed_from_a_trusted_proxy_only(autojump_clock, caller, headers, inside):
    network = MemoryNetwork()
    portal_config, config = introduce(
        address="10.0.0.5", proxy_header="X-Real-IP", trusted_proxy="10.9.0.0/16"
    )
    async with open_service(portal_config, network=network):
        assert await call(network.at(caller), config, extra=headers) is inside


@pytest.mark.parametrize("trusted", [None, "10.8.8.8"])
async def test_without_a_trusted_proxy_the_header_is_never_believed(autojump_clock, trusted, caplog):
    network = MemoryNetwork()
    portal_config, config = introduce(
        address="10.0.0.5,10.9.9.9", proxy_header="X-Real-IP", trusted_proxy=trusted
    )
    async with open_service(portal_config, network=network):
        assert await call(network.at(PROXY), config, extra=[header("192.0.2.1")])
    assert any(
        '"X-Real-IP" came from 10.9.9.9, which is not a trusted proxy' in line for line in records(caplog)
    )


async def test_a_proxy_that_may_call_itself_counts_with_its_own_address(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce(address=PROXY, proxy_header="X-Real-IP", trusted_proxy=PROXY)
    async with open_service(portal_config, network=network):
        assert await call(network.at(PROXY), config)
        assert not await call(network.at(PROXY), config, extra=[header("10.0.0.5")])


async def test_strangers_behind_a_proxy_share_the_places_of_all_and_not_of_one(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce(address="10/8", proxy_header="X-Real-IP", trusted_proxy=PROXY)
    async with open_service(portal_config, network=network) as portal:
        clients = [await RawClient.connect(network.at(PROXY)) for _ in range(200)]
        await trio.testing.wait_all_tasks_blocked()
        assert portal.statistics().unauthenticated == 200
        assert await call(network.at(PROXY), config, extra=[header("10.0.0.5")])
        for client in clients:
            await client.stream.aclose()


async def test_only_clients_whose_address_matches_are_candidates(autojump_clock):
    # The keys are right; they come from the other client's address.
    network = MemoryNetwork()
    portal_config, config = introduce(address="10.0.0.5")
    other = ServiceConfig.create("other")
    other.add_server(portal_config.add_client("other", "10.0.0.6"))
    async with open_service(portal_config, network=network) as portal:
        assert await call(network.at("10.0.0.6"), other)
        assert not await call(network.at("10.0.0.6"), config)
        await trio.testing.wait_all_tasks_blocked()
        assert portal.statistics().refused["not-opened"] == 1


class Shaky(MemoryNetwork):
    """Its listeners fail before they work."""

    errors = ()

    async def listen(self, ip, port):
        (listener,) = await super().listen(ip, port)
        accept, errors = listener.accept, list(self.errors)

        async def shaky():
            if errors:
                raise errors.pop(0)
            return await accept()

        listener.accept = shaky
        return [listener]


class OutOfDescriptors(MemoryNetwork):
    """Its listeners accept one caller and then fail once."""

    async def listen(self, ip, port):
        (listener,) = await super().listen(ip, port)
        accept, steps = listener.accept, iter(["accept", "fail"])

        async def limited():
            if next(steps, "accept") == "fail":
                await trio.testing.wait_all_tasks_blocked()  # the first caller is inside
                raise OSError(errno.EMFILE, "Too many open files")
            return await accept()

        listener.accept = limited
        return [listener]


async def test_when_descriptors_run_out_a_stranger_makes_room_at_once(autojump_clock):
    network = OutOfDescriptors()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        stranger = await RawClient.connect(network)
        before = trio.current_time()
        assert await call(network, config)
        assert trio.current_time() - before < 0.1
        assert await stranger.wait_end() == []
        assert portal.statistics().refused["crowded"] == 1


async def test_accepting_goes_on_after_the_system_ran_out_of_something(autojump_clock, caplog):
    # Security case P14.
    network = Shaky()
    network.errors = [
        OSError(number, "x") for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EMFILE)
    ]
    portal_config, config = introduce()
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(config, network=network),
    ):
        assert isinstance(await portal.events.receive(), Connected)
        assert portal.statistics().refused["accept"] == 4
        assert trio.current_time() == pytest.approx(2)
    lines = [line for line in records(caplog) if "Cannot accept" in line]
    assert lines == ["Cannot accept a connection (EMFILE): too many open files"]


class Vanishing(MemoryNetwork):
    """Callers that are gone, or of no comparable address, before anybody looks."""

    errors = ()

    def address_of(self, stream):
        if self.errors:
            raise self.errors.pop(0)
        return super().address_of(stream)


async def test_a_caller_that_is_gone_already_is_dropped(autojump_clock):
    network = Vanishing()
    network.errors = [OSError(errno.ENOTCONN, "gone"), ValueError("a scope")]
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        for _ in range(2):
            client = await RawClient.connect(network)
            assert await client.wait_end() == []
        assert portal.statistics().refused == {"lost": 2}
        assert await call(network, config)


async def test_a_mistake_of_ours_in_serving_a_caller_is_logged_and_ends_that_caller_alone(
    autojump_clock, caplog, monkeypatch
):
    network = Vanishing()
    network.errors = [ZeroDivisionError("a bug")]
    portal_config, config = introduce()
    async with open_service(portal_config, network=network):
        client = await RawClient.connect(network)
        assert await client.wait_end() == []
        assert await call(network, config)
    assert any("serving a caller from an unknown address failed" in line for line in records(caplog))


async def test_over_real_sockets_the_callers_address_is_seen():
    portal_config, _ = introduce(port=0, address="192.0.2.0/24")
    with trio.fail_after(10):
        async with open_service(portal_config, network=TcpNetwork()) as portal:
            stream = await trio.open_tcp_stream("127.0.0.1", portal.port)
            try:
                assert await stream.receive_some() == b""
            except trio.BrokenResourceError:
                pass
            assert portal.statistics().refused == {"address": 1}
            await stream.aclose()


async def test_the_file_descriptors_of_refused_callers_are_released():
    portal_config, _ = introduce(port=0, address="192.0.2.0/24")
    with trio.fail_after(20):
        async with open_service(portal_config) as portal:
            for _ in range(50):
                async with await trio.open_tcp_stream("127.0.0.1", portal.port) as stream:
                    with trio.move_on_after(5):
                        try:
                            assert await stream.receive_some() == b""
                        except trio.BrokenResourceError:
                            pass
            assert portal.statistics().refused == {"address": 50}
            assert CLUSTER not in portal.peers
