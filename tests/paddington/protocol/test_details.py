from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.protocol import capabilities
from paddington.protocol.crypto import Key
from paddington.protocol.details import Details, Greeting, Problem, StandbyStatus
from paddington.protocol.replay import Stamp
from tests.paddington.wire import VECTORS, json_values

FRAMES = {frame["what"] + " " + frame["from"]: frame["value"] for frame in VECTORS["handshake"]["frames"][:6]}
HANDSHAKE: dict[str, Any] = FRAMES["handshake client"]
DETAILS: dict[str, Any] = FRAMES["peer details server"]

u64 = st.integers(0, 2**64 - 1)
stamps = st.builds(Stamp, u64 | st.none(), u64 | st.none())
statuses = st.builds(StandbyStatus, st.booleans(), st.booleans())

BAD_NUMBERS = [-1, 2**64, 1.0, 1e3, "1", True, [1], {}]


def test_published_objects_are_read() -> None:
    greeting = Greeting.read(HANDSHAKE, "client")
    assert isinstance(greeting, Greeting)
    assert greeting.session_key.hex() == HANDSHAKE["session_key"]["data"]
    assert (greeting.engine, greeting.version) == ("paddington", "0.32.2")
    assert greeting.stamp == Stamp(None, None)
    details = Details.read(DETAILS)
    assert details == Details("portal", "default", StandbyStatus(True, False), False, Stamp(None, None))
    assert StandbyStatus.read(FRAMES["standby answer server"]) == StandbyStatus(False, False)


@given(st.binary(min_size=32, max_size=32).filter(any).map(Key), stamps)
def test_a_greeting_reads_back(key: Key, stamp: Stamp) -> None:
    greeting = Greeting(key, "paddington", "1.2.3", stamp, capabilities.FRAMINGS)
    assert Greeting.read(greeting.to_json("client"), "client") == greeting


def test_a_greeting_begins_as_the_published_one_does() -> None:
    greeting = Greeting(
        Key.from_hex(HANDSHAKE["session_key"]["data"]), "paddington", "0.32.2", Stamp(5, 6), ()
    )
    written = greeting.to_json("client")
    assert list(written.items())[:3] == list(HANDSHAKE.items())
    assert list(written)[3:] == ["nonce", "epoch", "paddington"]


@given(st.text(min_size=1), st.text(min_size=1), statuses, st.booleans(), stamps)
def test_details_read_back(name: str, zone: str, status: StandbyStatus, nonce: bool, stamp: Stamp) -> None:
    details = Details(name, zone, status, nonce, stamp)
    assert Details.read(details.to_json()) == details


def test_details_begin_as_the_published_ones_do() -> None:
    details = Details("portal", "default", StandbyStatus(True, False), True, Stamp(5, 6))
    assert list(details.to_json().items())[:4] == list(DETAILS.items())
    assert StandbyStatus(False, False).to_json() == FRAMES["standby answer server"]


@given(json_values)
def test_any_value_is_read_or_a_problem(value: object) -> None:
    for read in (Details.read, StandbyStatus.read, lambda v: Greeting.read(v, "client")):
        assert isinstance(read(value), Problem)


@given(st.data())
def test_any_field_replaced_is_read_or_a_problem(data: st.DataObject) -> None:
    for good, read in ((HANDSHAKE, lambda v: Greeting.read(v, "client")), (DETAILS, Details.read)):
        full = good | {"nonce": 1, "epoch": 2, "supports_nonce": True, "paddington": {}}
        name = data.draw(st.sampled_from(sorted(full)))
        changed = full | {name: data.draw(json_values)}
        outcome = read(changed)
        assert isinstance(outcome, (Greeting, Details, Problem))
        without = {key: value for key, value in full.items() if key != name}
        assert isinstance(read(without), Problem) == (name in good)


def _greeting_problem(**changed: object) -> str:
    outcome = Greeting.read(HANDSHAKE | changed, "client")
    return outcome.reason if isinstance(outcome, Problem) else "fine"


def _details_problem(**changed: object) -> str:
    outcome = Details.read(DETAILS | changed)
    return outcome.reason if isinstance(outcome, Problem) else "fine"


def test_an_all_zero_session_key_is_refused() -> None:
    assert _greeting_problem(session_key={"data": "0" * 64}) == "zero-key"


@pytest.mark.parametrize(
    "data", ["", "00", "1f" * 31, "1f" * 33, "1f" * 31 + "1 ", "g" * 64, "\uff11" * 64, None, 5]
)
def test_a_session_key_is_64_hexadecimal_digits(data: object) -> None:
    assert _greeting_problem(session_key={"data": data}) == "malformed"


@pytest.mark.parametrize("field", ["nonce", "epoch"])
@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_numbers_and_epochs_are_unsigned_64_bit_integers(field: str, value: object) -> None:
    assert _greeting_problem(**{field: value}) == "malformed"
    assert _details_problem(**{field: value}) == "malformed"


@pytest.mark.parametrize("field", ["engine", "version"])
@pytest.mark.parametrize("value", ["\x1b[31m", "a\nb", "x" * 129, 5, None, "\u202e"])
def test_engine_and_version_are_short_and_printable(field: str, value: object) -> None:
    assert _greeting_problem(**{field: value}) == "malformed"


@pytest.mark.parametrize("value", ["", "x" * 128, "0.94.0-rc.1+é"])
def test_other_versions_are_no_business_of_ours(value: str) -> None:
    assert _greeting_problem(version=value) == "fine"


@pytest.mark.parametrize("version", [0, 1, 3, 2**64 - 1])
def test_another_protocol_version_is_named(version: int) -> None:
    assert _details_problem(version=version) == "version"


@pytest.mark.parametrize("version", [2.0, "2", True, None, [2], -2])
def test_a_protocol_version_is_an_integer(version: object) -> None:
    assert _details_problem(version=version) == "malformed"


@pytest.mark.parametrize("value", [1, 0, "true", []])
def test_supports_nonce_is_true_or_false_or_absent(value: object) -> None:
    assert _details_problem(supports_nonce=value) == "malformed"
    assert _details_problem(supports_nonce=None) == "fine"


@pytest.mark.parametrize(
    "status",
    [None, {}, [], {"server_is_secondary": True}, {"server_is_secondary": 1, "client_is_secondary": 0},
     {"server_is_secondary": "false", "client_is_secondary": False}],
)  # fmt: skip
def test_a_standing_needs_both_words(status: object) -> None:
    assert _details_problem(standby_status=status) == "malformed"
    assert isinstance(StandbyStatus.read(status), Problem)


@given(st.text(), st.text())
def test_names_are_compared_exactly(name: str, zone: str) -> None:
    details = Details(name, zone, StandbyStatus(False, False), True, Stamp(1, 2))
    problem = details.check("portal", "default")
    expected = "name" if name != "portal" else "zone" if zone != "default" else None
    assert (problem and problem.reason) == expected
    assert problem is None or problem.message.isprintable()
