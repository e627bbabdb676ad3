import os
import socket

import pytest
import trio

from templemeads.daemon.monitor import warnings_about
from templemeads.daemon.systemd import feed_watchdog, notify, watchdog_seconds
from templemeads.operations.process import ProcessFigures, ProcessMeter


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_a_state_reaches_whoever_started_us(systemd):
    receiver, environment = systemd
    assert notify("READY=1\nSTATUS=up", environment)
    assert receiver.recv(100) == b"READY=1\nSTATUS=up"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/to/be/found"])
def test_without_systemd_nothing_happens(address):
    assert not notify("READY=1", {"NOTIFY_SOCKET": address})


def test_one_who_does_not_listen_does_not_stop_the_agent(systemd):
    _, environment = systemd
    assert not all(notify("WATCHDOG=1" + "x" * 10_000, environment) for _ in range(1_000))


def test_an_abstract_address_begins_with_an_at_sign():
    name = f"templemeads-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        assert notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert receiver.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environment, seconds):
    assert watchdog_seconds(environment) == seconds


async def test_it_is_fed_again_and_again(systemd, autojump_clock):
    receiver, environment = systemd
    with trio.move_on_after(31):
        await feed_watchdog(15, environment)
    assert [receiver.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


def test_figures_of_this_process_are_plausible():
    meter = ProcessMeter()
    first = meter.read(100.0)
    assert 1_000_000 < first.memory_bytes < first.system_memory_total
    assert first.cpu_percent == 0
    assert first.system_cpus >= 1
    assert meter.read(100.5).cpu_percent == 0
    assert meter.read(102.0).cpu_percent >= 0


def test_much_use_of_the_machine_is_worth_a_warning():
    assert warnings_about(ProcessFigures(79, 90.0, 100, 1)) == []
    assert len(warnings_about(ProcessFigures(81, 90.1, 100, 1))) == 2
