"""How the process of an agent looks after its memory."""

import gc
import weakref

import pytest
import trio

from paddington import ServiceConfig
from templemeads import AgentConfig, AgentType, run_agent
from templemeads.operations.process import THRESHOLDS, patient_collector


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


async def test_an_agent_that_owns_its_process_looks_for_cycles_less_often_while_it_runs():
    gc.set_threshold(700, 10, 10)
    config = AgentConfig(ServiceConfig.create("alone"), AgentType.INSTANCE)
    with trio.CancelScope() as running:
        async with trio.open_nursery() as agents:
            await agents.start(run_agent, config)
            assert gc.get_threshold() == THRESHOLDS
            assert gc.get_freeze_count() > 0
            running.cancel()
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("chosen", [(0, 10, 10), (10_000, 5, 5), (50_000, 1, 1)])
def test_whoever_has_chosen_rarer_looks_keeps_them(chosen):
    gc.set_threshold(*chosen)
    with patient_collector():
        assert gc.get_threshold() == chosen
    assert gc.get_threshold() == chosen


def test_cycles_are_still_found():
    class Node:
        pass

    gc.set_threshold(700, 10, 10)
    with patient_collector():
        node = Node()
        node.itself = node
        gone = weakref.ref(node)
        del node
        kept = [[] for _ in range(2 * THRESHOLDS[0])]  # what a look is due after
    assert kept
    assert gone() is None
