import pytest
import trio

from templemeads.agent.clock import AgentClock
from templemeads.testing.networks import EPOCH


@pytest.mark.parametrize("step", [-7200.0, 300.0, 7200.0])
async def test_it_reports_a_step_once_and_drift_never(autojump_clock, step):
    ahead, steps = 0.0, []
    clock = AgentClock(lambda: EPOCH + trio.current_time() + ahead, steps.append)
    for _ in range(3):
        clock.now()
        await trio.sleep(1000)
    ahead = 0.5
    clock.now()
    assert steps == []
    ahead = step
    assert clock.now() == pytest.approx(EPOCH + 3000 + step)
    clock.now()
    assert steps == [pytest.approx(step)]


async def test_a_handlers_thread_reads_the_system_clock(autojump_clock):
    clock = AgentClock(lambda: 7.0, lambda _: None)
    assert await trio.to_thread.run_sync(clock.now) == 7.0
