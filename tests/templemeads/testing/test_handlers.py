import re
import time
from typing import Any

import pytest
import trio

from templemeads import Envelope, Handlers, Job, JobError, RefusedError, UnknownInstruction
from templemeads.grammar import (
    AddUser,
    GetUsers,
    ParseError,
    RemoveUser,
    Submit,
    UserIdentifier,
    UserMapping,
    instructions,
)
from templemeads.testing import HandlerError, check_handler

FEW = {"examples": 25}


def mapping(user: UserIdentifier) -> UserMapping:
    return UserMapping(user, "local", "group")


def table(function: Any, *rows: Any, **options: Any) -> Handlers:
    handlers = Handlers(**options)
    handlers.add(*(rows or (AddUser,)))(function)
    return handlers


def failure(handler: Any, **options: Any) -> str:
    with pytest.raises(HandlerError) as caught:
        check_handler(handler, **options)
    return str(caught.value)


def test_a_handler_that_keeps_the_rules_passes() -> None:
    async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        await envelope.progress("making it")
        return mapping(user)

    check_handler(table(add_user), **FEW)


def test_a_handler_of_everything_is_tried_with_everything() -> None:
    seen = set()

    async def handler(envelope: Envelope) -> Job:
        seen.add(type(envelope.job.instruction))
        raise UnknownInstruction(envelope.job.instruction)

    check_handler(handler, examples=1)
    assert seen == set(instructions())


def test_a_table_is_tried_with_what_is_in_it() -> None:
    seen = set()

    async def either(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        seen.add(type(envelope.job.instruction))
        return mapping(user)

    check_handler(table(either, AddUser, RemoveUser), **FEW)
    assert seen == {AddUser, RemoveUser}


@pytest.mark.parametrize("error", [JobError("no room", kind="award_pending"), RefusedError("not today")])
def test_an_error_that_is_meant_is_an_answer(error: Exception) -> None:
    async def refuse(envelope: Envelope) -> Job:
        raise error

    check_handler(refuse, only=[AddUser], **FEW)


def test_other_errors_are_answers_only_where_that_is_said() -> None:
    async def fail(envelope: Envelope) -> Job:
        raise KeyError("fred")

    assert "KeyError" in failure(fail, only=[AddUser], **FEW)
    check_handler(fail, may_raise=(KeyError,), only=[AddUser], **FEW)


def test_a_bug_is_found_and_shown_on_the_simplest_job() -> None:
    async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        return UserMapping(user, f"{user.username}.{user.project}.{user.portal}", "group")

    with pytest.raises(HandlerError, match="refuses") as caught:
        check_handler(table(add_user))
    command = str(caught.value).partition("\n")[0]
    user = re.fullmatch(r"\S+ add_user (\S+)", command)
    assert user is not None
    assert 64 < len(user[1]) <= 68


def test_a_result_of_another_type_is_found() -> None:
    async def add_user(envelope: Envelope) -> Job:
        return envelope.job.completed("account created")

    assert "is a String, but add_user promises UserMapping" in failure(add_user, only=["add_user"], **FEW)
    check_handler(add_user, only=["add_user"], strict=False, **FEW)


def test_a_table_says_itself_whether_types_matter() -> None:
    async def add_user(envelope: Envelope, user: UserIdentifier) -> str:
        return "account created"

    check_handler(table(add_user, strict=False), **FEW)
    assert "promises" in failure(table(add_user, strict=False), strict=True, **FEW)


def test_an_empty_list_has_the_promised_type() -> None:
    async def get_users(envelope: Envelope, project: Any) -> list[UserMapping]:
        return []

    check_handler(table(get_users, GetUsers), **FEW)


def test_the_result_of_an_instruction_inside_of_another_is_that_ones() -> None:
    async def submit(envelope: Envelope, destination: Any, instruction: Any) -> str:
        return "done"

    assert "promises" in failure(table(submit, Submit), **FEW)


def test_a_second_answer_that_differs_is_found() -> None:
    def factory() -> Handlers:
        users = set()

        async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
            if user in users:
                raise JobError(f"{user} is there already")
            users.add(user)
            return mapping(user)

        return table(add_user)

    with pytest.raises(HandlerError, match="two answers") as caught:
        check_handler(factory=factory, **FEW)
    assert "Complete" in str(caught.value)
    assert "is there already" in str(caught.value)


def test_a_handler_that_never_ends_is_found_in_no_time() -> None:
    async def wait(envelope: Envelope) -> Job:
        await trio.sleep_forever()
        raise AssertionError

    assert "not ended after 60 seconds" in failure(wait, patience=60, only=[AddUser], **FEW)


def test_a_handler_may_take_its_time() -> None:
    async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        await trio.sleep(600)
        return mapping(user)

    check_handler(table(add_user), **FEW)


def test_an_unfinished_or_foreign_job_is_no_answer() -> None:
    async def running(envelope: Envelope) -> Job:
        return envelope.job.running("half")

    async def foreign(envelope: Envelope) -> Job:
        return Job.parse("a.b get_offerings").pending().completed()

    assert "job that is Running" in failure(running, only=[AddUser], **FEW)
    assert "completed" in failure(foreign, only=[AddUser], **FEW)


def test_a_plain_value_without_a_result_type_is_found() -> None:
    async def number(envelope: Envelope) -> Any:
        return 5

    assert "no result type" in failure(number, only=[AddUser], **FEW)


def test_a_value_that_the_grammar_refuses_is_found() -> None:
    async def parse(envelope: Envelope) -> Any:
        return UserMapping.parse("nonsense")

    assert "grammar refuses" in failure(parse, only=[AddUser], **FEW)
    check_handler(parse, may_raise=(ParseError,), only=[AddUser], **FEW)


def test_what_cannot_be_checked_is_refused() -> None:
    async def handler(envelope: Envelope) -> Job:
        raise JobError("no")

    with pytest.raises(TypeError, match="needs"):
        check_handler()
    with pytest.raises(TypeError, match="not both"):
        check_handler(handler, factory=lambda: handler)
    with pytest.raises(TypeError, match="async"):
        check_handler(lambda envelope: envelope.job)  # type: ignore[arg-type,return-value]


def test_an_object_with_an_async_call_is_a_handler() -> None:
    class Portal:
        async def __call__(self, envelope: Envelope) -> Job:
            raise JobError("closed")

    check_handler(Portal(), only=[AddUser], **FEW)


def test_a_handler_that_blocks_the_loop_is_found():
    async def add_user(envelope, user):
        time.sleep(0.6)  # noqa: ASYNC251 - that is what is to be found
        return UserMapping(user, "fred", "proj")

    with pytest.raises(HandlerError, match=r"blocked the loop for 0\.\d seconds"):
        check_handler(table(add_user), examples=1)


def test_a_plain_function_may_block():
    def add_user(envelope, user):
        envelope.progress("half")
        return UserMapping(user, "fred", "proj")

    check_handler(table(add_user), **FEW)


def test_a_wrong_value_is_found():
    async def add_user(envelope, user):
        return "added"

    with pytest.raises(HandlerError, match="returned a String, but add_user promises UserMapping"):
        check_handler(table(add_user), **FEW)
