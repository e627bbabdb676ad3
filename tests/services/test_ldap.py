"""The account agent with a real OpenLDAP server."""

from __future__ import annotations

import subprocess

import pytest
import trio

from templemeads.agent_type import AgentType
from templemeads.roles import account
from tests.services.slapd import BASE, obstacle, started
from tests.templemeads.roles.fakes import FakeAgent, make_config, run_job


@pytest.fixture(scope="module")
def server():
    if (reason := obstacle()) is not None:
        pytest.skip(f"no real OpenLDAP here: {reason}")
    with started() as running:
        yield running


def agent_of(server, **extras):
    options = {"ldap_base": BASE, "ldap_url": server.url, "ldap_user": f"cn=admin,{BASE}",
               "ldap_password_file": str(server.password_file), **extras}  # fmt: skip
    config = make_config("accounts", AgentType.ACCOUNT, **options)
    return FakeAgent(config, answers=lambda _: "/home/proj/fred")


def attribute(server, name, of):
    words = ["ldapsearch", "-LLL", "-x", "-H", server.url, "-b", BASE, f"(uid={of})", name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


async def test_an_account_is_made_blocked_unblocked_and_removed_each_step_twice(server):
    agent = agent_of(server, system_groups="site")

    async def do(instruction):
        first = await run_job(account.handlers, instruction, agent)
        again = await run_job(account.handlers, instruction, agent)
        assert first.status.value == again.status.value == "Complete", (instruction, first.result_text)
        assert first.result_text == again.result_text
        return first.result()

    assert await do("is_existing_project proj.portal") is False
    assert str(await do("add_project proj.portal")) == "proj.portal:portal.proj"
    assert [str(each) for each in await do("get_projects portal")] == ["proj.portal:portal.proj"]
    assert str(await do("add_user fred.proj.portal")) == "fred.proj.portal:fred.proj:portal.proj"
    assert [str(each) for each in await do("get_users proj.portal")] == [
        "fred.proj.portal:fred.proj:portal.proj"
    ]
    assert await do("is_protected_user fred.proj.portal") is False
    assert await do("update_homedir fred.proj.portal /data/my.home") == "/data/my.home"
    assert "homeDirectory" in attribute(server, "homeDirectory", "fred.proj")
    await do("block_user fred.proj.portal")
    assert await do("is_blocked_user fred.proj.portal") is True
    assert "shadowExpire: 1" in attribute(server, "shadowExpire", "fred.proj")
    await do("unblock_user fred.proj.portal")
    assert "shadowExpire: " not in attribute(server, "shadowExpire", "fred.proj")
    await do("remove_user fred.proj.portal")
    assert await do("is_existing_user fred.proj.portal") is False
    assert await do("get_users proj.portal") == []
    await do("remove_project proj.portal")
    assert await do("get_projects portal") == []


async def test_accounts_that_are_made_at_once_have_numbers_of_their_own(server):
    agent = agent_of(server)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(run_job, account.handlers, f"add_user u{number}.crowd.portal", agent)
    numbers = [
        attribute(server, "uidNumber", f"u{number}.crowd").split("uidNumber: ")[1] for number in range(8)
    ]
    assert len(set(numbers)) == 8


async def test_a_range_of_numbers_that_is_used_up_is_an_error(server):
    agent = agent_of(server, first_id="30000", last_id="30000")
    assert (await run_job(account.handlers, "add_project one.tight", agent)).status.value == "Complete"
    job = await run_job(account.handlers, "add_project two.tight", agent)
    assert "is taken" in job.result_text


async def test_a_wrong_password_is_an_error_that_does_not_name_the_file(server, tmp_path):
    (tmp_path / "wrong").write_text("wrong")
    job = await run_job(
        account.handlers, "add_project x.portal", agent_of(server, ldap_password_file=str(tmp_path / "wrong"))
    )
    assert "Invalid credentials" in job.result_text
    assert str(tmp_path) not in job.result_text


async def test_a_block_of_nobody_is_an_error(server):
    job = await run_job(account.handlers, "block_user nobody.proj.portal", agent_of(server))
    assert "no account" in job.result_text
