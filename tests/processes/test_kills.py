"""Real processes, real sockets, real files, and a kernel that kills."""

import random

import pytest
import trio

from templemeads import Limits

from .estate import Estate, open_estate

pytestmark = [pytest.mark.processes, pytest.mark.slow]

CHAIN = ("waldur", "brics", "notebook", "shared")


@pytest.mark.parametrize("victim", ["waldur", "shared"])
async def test_either_side_is_killed_in_the_middle_of_a_job(tmp_path, victim):
    async with open_estate(tmp_path, "waldur", "shared") as estate:
        entry = await estate.put(700)
        await estate.wait_begun(entry)
        await estate.kill(victim)
        await estate.start(victim)
        await estate.wait_all_told()
        books = estate.account()
        assert books["calls"] == (2 if victim == "shared" else 1)


async def test_a_chain_of_four_is_killed_one_by_one_and_all_at_once_while_jobs_flow(tmp_path):
    async with open_estate(tmp_path, *CHAIN) as estate:
        for name in (*CHAIN, None):
            for milliseconds in (0, 5, 50, 300):
                await estate.put(milliseconds)
            victims = CHAIN if name is None else (name,)
            for victim in victims:
                await estate.kill(victim)
            async with trio.open_nursery() as nursery:
                for victim in victims:
                    nursery.start_soon(estate.start, victim)
        await estate.put(0)
        await estate.wait_all_told()
        assert estate.account()["jobs"] == 21


async def kill_at_random(estate: Estate, seconds: float, seed: int) -> dict[str, int]:
    """Put jobs all the time, and kill an agent every now and then; return the books."""
    chance = random.Random(seed)
    kills = 0

    async def put_jobs() -> None:
        while True:
            await estate.put(chance.choice([0, 0, 20, 200]))
            await trio.sleep(chance.random() * 0.2)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put_jobs)
            while True:
                await trio.sleep(chance.random())
                victims = chance.sample(CHAIN, chance.choice([1, 1, 1, 2, 4]))
                with trio.CancelScope(shield=True):
                    for victim in victims:
                        await estate.kill(victim)
                        kills += 1
                    async with trio.open_nursery() as starting:
                        for victim in victims:
                            starting.start_soon(estate.start, victim)
    await estate.wait_all_told()
    return estate.account() | {"kills": kills}


async def test_agents_are_killed_at_random_and_every_job_is_accounted_for(tmp_path):
    async with open_estate(tmp_path, *CHAIN) as estate:
        books = await kill_at_random(estate, 12, seed=1)
    assert books["kills"] >= 3
    assert books["jobs"] >= 20


@pytest.mark.soak
async def test_agents_are_killed_at_random_for_a_minute(tmp_path, request, capsys):
    if "soak" not in request.config.option.markexpr:
        pytest.skip("takes a minute: pytest -m soak")
    async with open_estate(tmp_path, *CHAIN) as estate:
        books = await kill_at_random(estate, 60, seed=random.SystemRandom().randrange(2**32))
    with capsys.disabled():
        print(f"\n{books}")


# -- signals ----------------------------------------------------------------------------------------------------------------


async def test_sigterm_lets_handlers_finish_and_drops_nothing(tmp_path):
    async with open_estate(tmp_path, "waldur", "shared") as estate:
        entry = await estate.put(1000)
        await estate.wait_begun(entry)
        assert await estate.terminate("shared") == 0
        await estate.wait_all_told()  # the result was sent before the line was closed
        assert estate.account()["calls"] == 1
        later = await estate.put(0)
        await estate.wait_until(lambda: later.accepted)
        assert await estate.terminate("waldur") == 0
        await estate.start("waldur")
        await estate.start("shared")
        await estate.wait_all_told()
        assert estate.account()["calls"] == 2


async def test_a_second_signal_hurries(tmp_path):
    async with open_estate(tmp_path, "waldur", "shared", limits=Limits(shutdown_seconds=300)) as estate:
        entry = await estate.put(100_000)
        await estate.wait_begun(entry)
        with trio.fail_after(30):
            assert await estate.terminate("shared", times=2, pause=0.3) == 0
        assert not entry.told


async def test_a_third_signal_ends_a_process_whose_handler_shields_itself(tmp_path):
    async with open_estate(tmp_path, "waldur", "shared", limits=Limits(shutdown_seconds=300)) as estate:
        entry = await estate.put(100_000, shielded=True)
        await estate.wait_begun(entry)
        with trio.fail_after(30):
            assert await estate.terminate("shared", times=3, pause=0.3) == -15


async def test_a_job_that_ends_the_process_is_started_three_times_and_no_more(tmp_path):
    async with open_estate(tmp_path, "waldur", "shared") as estate:
        good = await estate.put(1_500)
        await estate.wait_begun(good)
        bad = await estate.put(0, deadly=True)
        for _ in range(3):
            with trio.fail_after(30):
                assert await estate.processes["shared"].wait() == 9
            await estate.start("shared")
        await estate.wait_all_told()
        assert estate.processes["shared"].poll() is None
        state, message = bad.told[0]
        assert state == "Error"
        assert "was started 3 times and the process of shared died each time" in message
        assert good.told[0][0] == "Complete"  # though it was running each time when the process died
