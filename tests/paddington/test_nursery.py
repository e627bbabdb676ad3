import pytest
import trio

from paddington import ServiceConfig, open_service
from paddington.nursery import open_bare_nursery
from paddington.testing import MemoryNetwork


class OfTheUser(BaseException):
    pass


ERRORS = [
    ValueError("mine"),
    KeyboardInterrupt(),
    SystemExit(3),
    OfTheUser(),
    ExceptionGroup("mine", [OSError()]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_what_the_block_raises_comes_out_bare(error):
    with pytest.raises(type(error)) as caught:
        async with open_bare_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error
    assert caught.value is error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_what_the_block_of_a_service_raises_comes_out_bare(error, autojump_clock):
    config = ServiceConfig.create("portal", port=6501)
    config.add_client("cluster", "127.0.0.1")
    with pytest.raises(type(error)) as caught:
        async with open_service(config, network=MemoryNetwork()):
            raise error
    assert caught.value is error


async def test_the_only_error_of_a_task_comes_out_bare_and_several_in_a_group():
    async def fail(error):
        raise error

    with pytest.raises(ValueError, match="task"):
        async with open_bare_nursery() as nursery:
            nursery.start_soon(fail, ValueError("task"))
            await trio.sleep_forever()
    with pytest.raises(ExceptionGroup) as caught:
        async with open_bare_nursery() as nursery:
            nursery.start_soon(fail, ValueError())
            nursery.start_soon(fail, OSError())
    assert len(caught.value.exceptions) == 2


async def test_a_scope_around_or_the_nursery_itself_may_cancel_the_block(autojump_clock):
    with trio.move_on_after(1) as scope:
        async with open_bare_nursery():
            await trio.sleep_forever()
    assert scope.cancelled_caught
    async with open_bare_nursery() as nursery:
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()
