"""The reader of canonical commands and the strict reader find the same in every text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.jobs import canonical
from templemeads.jobs.commands import Put, Update, decode_strictly, encode
from templemeads.jobs.job import Job, no_job
from templemeads.testing import jobs

ORDINARY = Put(
    Job.parse("portal.cluster add_user fred.proj.portal", now=1_800_000_000).pending(1_800_000_000)
)

PIECES = [
    '"',
    "\\",
    "\\u0041",
    "{",
    "}",
    ",",
    " ",
    "\n",
    "\x00",
    "é",
    "\ud800",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "9" * 30,
]
PIECES += [
    "null",
    "true",
    '"error":null,',
    '"id":"",',
    "Put",
    "Update",
    "Delete",
    "Complete",
    "Error",
    ":",
    "٣",
    "A",
]


def agree(text: str, lookup: canonical.JobLookup = no_job) -> bool:
    """Check that both readers find the same; return whether the quick one has read the text."""
    found = canonical.read(text, lookup, None)
    if found is None:
        return False
    name, job = found
    strict = decode_strictly(text, lookup)
    assert strict == (Put(job) if name == "Put" else Update(job))
    assert isinstance(strict, Put | Update)
    assert repr(strict.job) == repr(job)
    assert strict.job.canonical() == job.canonical()
    assert encode(strict) == text
    return True


@settings(deadline=None)
@given(st.builds(lambda kind, job: kind(job), st.sampled_from([Put, Update]), jobs()))
def test_both_read_the_same_in_what_an_agent_writes(command):
    text = encode(command)
    agree(text)
    agree(text, lambda number: command.job if number == command.job.id.int else None)


@settings(deadline=None)
@given(st.data())
def test_both_read_the_same_in_a_text_that_was_tampered_with(data):
    text = encode(data.draw(st.builds(Put, jobs()) | st.just(ORDINARY)))
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, min(len(text), begin + 40)))
        text = text[:begin] + data.draw(st.sampled_from(PIECES) | st.just("")) + text[end:]
    try:
        decode_strictly(text)
    except ParseError:
        assert canonical.read(text, no_job, None) is None
    else:
        agree(text)


def test_an_ordinary_command_is_read_by_the_quick_reader():
    assert agree(encode(ORDINARY))
    finished = ORDINARY.job.completed("account created", now=1_800_000_001)
    assert agree(encode(Update(finished)))


@pytest.mark.parametrize("spaces", [(", ", ": "), (",", ": ")])
def test_another_spelling_is_left_to_the_strict_reader(spaces):
    value = json.loads(encode(ORDINARY))
    assert not agree(json.dumps(value, separators=spaces))
