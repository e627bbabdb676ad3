import pytest

from templemeads import Envelope, Handlers, Job, UnknownInstruction, UserIdentifier, UserMapping
from templemeads.grammar import AddUser, GetOfferings, GetUsers, RemoveUser, SetLimit


def envelope(instruction: str = "add_user fred.proj.portal") -> Envelope:
    job = Job.parse(f"portal.cluster {instruction}").pending()
    return Envelope(job=job, sender="portal", recipient="cluster")


async def test_a_handler_gets_the_envelope_and_the_fields_of_the_instruction():
    handlers = Handlers()

    @handlers.add(AddUser, RemoveUser)
    async def both(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        return UserMapping(user, "fred", "proj")

    @handlers.add(SetLimit)
    async def set_limit(envelope, project, limit) -> Job:
        return envelope.job.completed(limit)

    @handlers.add(GetOfferings)
    async def get_offerings(envelope) -> Job:
        return envelope.job.errored("none here")

    fred = UserIdentifier.parse("fred.proj.portal")
    assert (await handlers(envelope())).result() == UserMapping(fred, "fred", "proj")
    limited = await handlers(envelope("set_limit proj.portal 2 hours"))
    assert limited.result().seconds == 7200
    assert (await handlers(envelope("get_offerings"))).result_text == "none here"
    assert set(handlers) == {AddUser, RemoveUser, SetLimit, GetOfferings}


async def test_an_instruction_that_is_not_in_the_table_is_unknown():
    with pytest.raises(UnknownInstruction, match="Unknown instruction: add_user fred"):
        await Handlers()(envelope())


@pytest.mark.parametrize("annotation", [str, bool, int, list[UserMapping], None])
def test_a_result_that_the_instruction_does_not_promise_is_refused_on_registration(annotation):
    async def add_user(envelope, user):
        return None

    add_user.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match="add_user promises UserMapping"):
        Handlers().add(AddUser)(add_user)
    Handlers(strict=False).add(AddUser)(add_user)


def test_lists_and_jobs_are_recognised_as_results():
    async def get_users(envelope, project) -> list[UserMapping]:
        return []

    async def maybe(envelope, project) -> Job:
        return envelope.job

    async def either(envelope, project) -> list[UserMapping] | Job:
        return []

    for function in (get_users, maybe, either):
        Handlers().add(GetUsers)(function)


def test_what_takes_other_arguments_is_refused_with_the_right_line():
    async def too_few(envelope):
        return None

    async def too_many(envelope, user, extra):
        return None

    for function in (too_few, too_many):
        with pytest.raises(TypeError, match=r"must take \(envelope, user\)"):
            Handlers().add(AddUser)(function)


def test_one_instruction_has_one_handler():
    handlers = Handlers()

    @handlers.add(AddUser)
    async def first(envelope, user):
        return None

    with pytest.raises(ValueError, match=r"There is a handler for add_user already: .*first"):
        handlers.add(AddUser)(first)
