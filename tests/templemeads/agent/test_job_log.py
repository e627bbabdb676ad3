"""The one line of a job in the log."""

import json
import logging

import trio

from templemeads import JobError
from templemeads.cli.log import JsonFormatter
from templemeads.testing.networks import open_chain

COMMAND = "waldur.brics.shared add_user fred.proj.waldur"


async def slowly(envelope):
    await trio.sleep(1.5)
    if envelope.job.instruction.user.username == "bad":
        raise JobError("no such\nproject")
    return "done"


def lines(caplog):
    return [record for record in caplog.records if record.name == "templemeads.job"]


async def test_the_end_of_a_job_is_one_line_at_each_agent_of_its_path(autojump_clock, caplog):
    caplog.set_level(logging.INFO, logger="templemeads")
    async with open_chain("waldur", "brics", "shared", handler=slowly) as chain:
        job = await (await chain.first.submit(COMMAND)).wait()
        found = lines(caplog)
        assert len(found) == 3
        assert all(record.getMessage() == f"{COMMAND}: complete after 1.500 s" for record in found)
        fields = json.loads(JsonFormatter().format(found[0]))
        assert {key: fields[key] for key in ("job", "path", "instruction", "state", "from", "seconds")} == {
            "job": str(job.id),
            "path": "waldur.brics.shared",
            "instruction": "add_user fred.proj.waldur",
            "state": "Complete",
            "from": "waldur",
            "seconds": 1.5,
        }


async def test_a_failed_job_says_why_on_one_line(autojump_clock, caplog):
    caplog.set_level(logging.INFO, logger="templemeads")
    async with open_chain("waldur", "brics", "shared", handler=slowly) as chain:
        await (await chain.first.submit(COMMAND.replace("fred", "bad"))).wait()
    for record in lines(caplog):
        assert record.getMessage().startswith(
            f"{COMMAND.replace('fred', 'bad')}: error after 1.500 s: no such"
        )
        assert record.getMessage().isprintable()
        assert json.loads(JsonFormatter().format(record))["kind"]


async def test_a_withdrawn_job_is_a_line_and_a_deleted_result_is_none(autojump_clock, caplog):
    caplog.set_level(logging.INFO, logger="templemeads")
    async with open_chain("waldur", "shared", handler=slowly) as chain:
        job = await chain.first.submit("waldur.shared add_user fred.proj.waldur")
        await trio.sleep(0.5)
        await job.delete()
        await trio.sleep(0.5)
        assert {record.getMessage().rpartition(": ")[2] for record in lines(caplog)} == {"withdrawn"}
        job = await (await chain.first.submit("waldur.shared add_user ann.proj.waldur")).wait()
        count = len(lines(caplog))
        await job.delete()
        await trio.sleep(0.5)
        assert len(lines(caplog)) == count


async def test_a_cut_connection_makes_no_second_line(autojump_clock, caplog):
    caplog.set_level(logging.INFO, logger="templemeads")
    async with open_chain("waldur", "shared", handler=slowly) as chain:
        await (await chain.first.submit("waldur.shared add_user fred.proj.waldur")).wait()
        chain.network.cut()
        await trio.sleep(60)
    assert len(lines(caplog)) == 2
