"""Programs of the system, really run."""

from __future__ import annotations

import sys

import pytest
import trio

from templemeads.roles.programs import ProgramError, Ran, SystemPrograms


async def test_words_reach_a_program_as_they_are_and_no_shell_looks_at_them():
    ran = await SystemPrograms().run(["printf", "%s|", "a b", "$HOME; rm", "*", ""])
    assert ran.output == "a b|$HOME; rm|*||"


async def test_status_output_and_errors_are_told_apart():
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    ran = await SystemPrograms().run([sys.executable, "-c", program])
    assert (ran.status, ran.output, ran.errors) == (3, "out\n", "err\n")
    assert ran.require(3) is ran
    with pytest.raises(ProgramError, match="err") as caught:
        ran.require()
    assert caught.value.status == 3


async def test_a_program_gets_no_input_and_english_messages():
    ran = await SystemPrograms().run(["sh", "-c", "cat; echo $LC_ALL"])
    assert ran.output == "C.UTF-8\n"


async def test_a_program_that_is_missing_is_named():
    with pytest.raises(ProgramError, match=r'"no-such-program", "x".*cannot be run'):
        await SystemPrograms().run(["no-such-program", "x"])


async def test_a_program_that_hangs_is_killed_when_its_time_is_over():
    with pytest.raises(ProgramError, match=r"killed after 0\.2 s"):
        await SystemPrograms().run(["sleep", "1000"], timeout=0.2)


async def test_a_program_is_killed_when_its_caller_is_cancelled():
    with trio.move_on_after(0.2) as scope:
        await SystemPrograms().run(["sleep", "1000"])
    assert scope.cancelled_caught


async def test_output_is_taken_up_to_the_limit_and_not_a_byte_more():
    programs = SystemPrograms(max_output_bytes=1000)
    assert len((await programs.run(["head", "-c", "1000", "/dev/zero"])).output) == 1000
    with pytest.raises(ProgramError, match="more than 1000 bytes"):
        await programs.run(["head", "-c", "1001", "/dev/zero"])


def test_an_error_text_is_bounded():
    with pytest.raises(ProgramError) as caught:
        Ran(("x",), 1, errors="e" * 100_000).require()
    assert len(str(caught.value)) < 2100
