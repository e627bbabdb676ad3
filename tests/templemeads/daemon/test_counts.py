"""How the jobs that were put at an agent ended, and that status, `top` and metrics agree about it."""

import trio

from templemeads import JobError
from templemeads.daemon.counts import PutCounts
from templemeads.daemon.metrics import AgentMetrics
from templemeads.daemon.views import agent_view
from templemeads.testing.networks import open_chain

COMMAND = "waldur.brics.shared add_user {}.proj.waldur"


async def handler(envelope):
    await trio.sleep(2)
    match envelope.job.instruction.user.username:
        case "bad":
            raise JobError("no such project", kind="invalid")
        case "odd":
            raise JobError("no such project", kind="a_word_of_the_domain")
        case "slow":
            await trio.sleep_forever()
    return "done"


async def test_the_first_agent_counts_the_ends_of_its_own_jobs_and_no_other_does(autojump_clock):
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        counts = {name: PutCounts(chain[name]) for name in ("waldur", "brics", "shared")}
        metrics = AgentMetrics(chain.first, counts["waldur"])
        for name in ("fred", "ann", "bad", "odd"):
            await (await chain.first.submit(COMMAND.format(name))).wait()
        slow = await chain.first.submit(COMMAND.format("slow"), lifetime=30)
        assert counts["waldur"].view().unfinished == 1
        await slow.wait()
        withdrawn = await chain.first.submit(COMMAND.format("gone"))
        await withdrawn.delete()
        view = agent_view(chain.first, counts["waldur"])
        put = view.put
        assert (put.completed, put.failed, put.expired, put.withdrawn, put.unfinished) == (2, 2, 1, 1, 0)
        assert put.failures == {"invalid": 1, "other": 1, "expired": 1}
        assert put.median_ms == 2_000
        assert 30_000 <= put.max_ms < 32_000
        assert counts["brics"].view() == counts["shared"].view() == PutCounts(chain["brics"]).view()
        text = metrics.exposition()[0].decode()
        for line in (
            'templemeads_jobs_put_total{outcome="completed"} 2.0',
            'templemeads_put_failures_total{kind="expired"} 1.0',
            'templemeads_put_seconds_bucket{le="5.0",outcome="completed"} 2.0',
            'templemeads_put_seconds_count{outcome="failed"} 2.0',
            "templemeads_jobs_put_unfinished 0.0",
            "templemeads_build_info{",
            "process_open_fds",
        ):
            assert line in text


async def test_jobs_that_were_there_before_are_counted_without_a_time(autojump_clock):
    async with open_chain("waldur", "shared", handler=handler) as chain:
        job = await chain.first.submit("waldur.shared add_user fred.proj.waldur")
        counts = PutCounts(chain.first)
        await job.wait()
        assert (counts.view().completed, counts.view().max_ms) == (1, 0.0)
