import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from paddington.errors import FrameError, PayloadError, PayloadTooLargeError
from paddington.limits import MIN_FRAME_BYTES, Limits
from paddington.protocol.envelope import seal_frame
from paddington.protocol.session import Frame
from tests.paddington.wire import everything_said, frame_of, payloads, sides

SMALL = Limits(frame_bytes=MIN_FRAME_BYTES, legacy_frame_bytes=2 * MIN_FRAME_BYTES, remembered_infos=5)


def refused(session: object, frame: Frame) -> str:
    with pytest.raises(FrameError) as caught:
        session.open(frame)  # type: ignore[attr-defined]
    return caught.value.reason


@given(st.lists(payloads, max_size=5), st.booleans())
def test_payloads_arrive_as_they_were_sent(texts: list[str], numbers: bool) -> None:
    two = sides(numbers=numbers)
    for text in texts:
        assert two.right.open(two.left.seal(text)) == text
        assert two.left.open(two.right.seal(text)) == text


def test_payloads_are_numbered_from_0_in_each_direction_for_a_peer_that_announced_it() -> None:
    two = sides()
    for number in range(3):
        for sender, receiver in ((two.left, two.right), (two.right, two.left)):
            frame = sender.seal("x")
            opened = receiver._codec.open(frame)
            assert (opened.number, opened.text) == (number, "x")


def test_payloads_are_bare_for_a_peer_that_did_not() -> None:
    two = sides(numbers=False)
    assert two.right._codec.open(two.left.seal("x")).number is None


@pytest.mark.parametrize("numbers", [True, False])
def test_a_repeated_frame_is_dropped_and_the_connection_goes_on(numbers: bool) -> None:
    two = sides(numbers=numbers)
    frames = [two.left.seal(str(count)) for count in range(4)]
    for count in (1, 0, 3):
        assert two.right.open(frames[count]) == str(count)
    for count in (0, 1, 3, 0):
        assert refused(two.right, frames[count]) == "repeated"
    assert two.right.open(frames[2]) == "2"


@pytest.mark.parametrize("numbers", [True, False])
def test_our_own_frames_sent_back_are_dropped_in_either_role(numbers: bool) -> None:
    two = sides(numbers=numbers)
    mine, theirs = two.left.seal("x"), two.right.seal("x")
    assert refused(two.left, mine) == "reflected"
    assert refused(two.right, theirs) == "reflected"
    assert two.right.open(mine) == two.left.open(theirs) == "x"


def test_a_reflection_takes_no_number_from_the_peer() -> None:
    two = sides()
    assert refused(two.left, two.left.seal("0")) == "reflected"
    assert two.left.open(two.right.seal("honest 0")) == "honest 0"


def test_a_frame_of_another_connection_does_not_open() -> None:
    assert refused(sides().right, sides().left.seal("x")) == "not-opened"


def test_a_bare_payload_after_the_announcement_is_dropped() -> None:
    two = sides()
    assert refused(two.right, frame_of(two.keys, "KEEPALIVE")) == "bare"


def test_a_peer_that_did_not_announce_may_number_and_is_held_to_it() -> None:
    two = sides(numbers=False)
    assert two.right.open(frame_of(two.keys, {"nonce": 5, "payload": "a"})) == "a"
    assert two.right.open(frame_of(two.keys, "b")) == "b"
    assert refused(two.right, frame_of(two.keys, {"nonce": 5, "payload": "c"})) == "repeated"


@pytest.mark.parametrize(
    "value",
    [
        None, 5, [], {}, True, ["KEEPALIVE"], {"payload": "x"}, {"nonce": 1}, {"nonce": -1, "payload": "x"},
        {"nonce": 1.0, "payload": "x"}, {"nonce": "1", "payload": "x"}, {"nonce": True, "payload": "x"},
        {"nonce": None, "payload": "x"}, {"nonce": [1], "payload": "x"}, {"nonce": 1, "payload": 5},
        {"nonce": 1, "payload": None}, {"nonce": 1, "payload": {"Put": {}}},
        {"server_is_secondary": False, "client_is_secondary": False},
    ],
)  # fmt: skip
@pytest.mark.parametrize("numbers", [True, False])
def test_another_shape_is_dropped_and_the_connection_goes_on(value: object, numbers: bool) -> None:
    two = sides(numbers=numbers)
    assert refused(two.right, frame_of(two.keys, value)) == "malformed"
    assert two.right.open(two.left.seal("next")) == "next"


@pytest.mark.parametrize(
    "text",
    ['{"nonce":1,"nonce":2,"payload":"x"}', '{"nonce":18446744073709551616,"payload":"x"}', '"\\ud800"',
     '{"nonce":1e3,"payload":"x"}', "[" * 3000, '{"nonce":' + "1" * 3000 + ',"payload":"x"}', "", "x", '"'],
)  # fmt: skip
def test_what_is_no_strict_json_is_dropped(text: str) -> None:
    two = sides()
    assert refused(two.right, seal_frame(two.keys, text.encode(), os.urandom(112))) == "malformed"


def test_later_fields_beside_the_payload_are_left_alone() -> None:
    two = sides()
    assert two.right.open(frame_of(two.keys, {"nonce": 0, "payload": "x", "later": [1]})) == "x"


@pytest.mark.parametrize("number", [0, 2**53, 2**53 + 1, 2**64 - 1])
def test_numbers_of_64_bits_are_taken(number: int) -> None:
    two = sides()
    frame = {"nonce": number, "payload": "x"}
    assert two.right.open(frame_of(two.keys, frame)) == "x"
    assert refused(two.right, frame_of(two.keys, frame)) == "repeated"


def test_a_message_that_does_not_open_moves_no_window() -> None:
    two = sides()
    first, last = two.left.seal("first"), frame_of(two.keys, {"nonce": 2**64 - 1, "payload": "x"})
    assert refused(two.right, last[:-1] + ("0" if last[-1] != "0" else "1")) == "not-opened"
    assert two.right.open(first) == "first"


@given(st.binary(max_size=300) | st.text(max_size=600) | st.text("0123456789abcdef", max_size=800))
def test_any_message_ends_in_a_frame_error(frame: Frame) -> None:
    two = sides()
    with pytest.raises(FrameError):
        two.right.open(frame)
    assert two.right.open(two.left.seal("next")) == "next"


def test_a_binary_message_is_dropped_where_text_was_agreed() -> None:
    two = sides()
    assert refused(two.right, bytes.fromhex(two.left.seal("x"))) == "kind"  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [True, False])
def test_the_largest_payload_fits_exactly_and_one_byte_more_is_refused(numbers: bool) -> None:
    two = sides(numbers=numbers, limits=SMALL)
    two.left._sent = 2**64 - 1
    text = "x" * (two.left.largest_payload - 2)
    assert two.left.fits(text)
    frame = two.left.seal(text)
    assert (
        two.left.send_limit - 4 < len(frame) <= two.left.send_limit == MIN_FRAME_BYTES * (1 if numbers else 2)
    )
    assert two.right.open(frame) == text
    assert not two.left.fits(text + "x")
    with pytest.raises(PayloadTooLargeError) as caught:
        two.left.seal(text + "x")
    assert (caught.value.size, caught.value.limit) == (len(text) + 3, two.left.largest_payload)


@settings(max_examples=40)
@given(payloads, st.integers(0, 2**64 - 1), st.booleans())
def test_what_fits_makes_a_frame_within_the_limit_whatever_its_number(
    text: str, number: int, numbers: bool
) -> None:
    two = sides(numbers=numbers, limits=SMALL)
    two.left._sent = number
    unit = max(two.left.payload_size(text), 1)
    text *= two.left.largest_payload // unit + 1
    while not two.left.fits(text):
        with pytest.raises(PayloadTooLargeError):
            two.left.seal(text)
        text = text[: len(text) * 9 // 10]
    assert len(two.left.seal(text)) <= two.left.send_limit


def test_escapes_and_long_characters_count_in_the_size() -> None:
    session = sides().left
    assert session.payload_size("ab") == 4
    assert session.payload_size('a"\\\n') == 2 + 1 + 2 + 2 + 2
    assert session.payload_size("\x01é😀") == 2 + 6 + 2 + 4


def test_the_published_limit_of_two_mebibytes() -> None:
    bare = sides(numbers=False, limits=Limits(legacy_frame_bytes=2_097_152))
    assert bare.left.largest_payload == 524_195
    text = "x" * (524_195 - 2)
    frame = bare.left.seal(text)
    assert len(frame) == 2_097_152
    assert bare.right.open(frame) == text


def test_a_refused_payload_uses_no_number() -> None:
    two = sides(limits=SMALL)
    with pytest.raises(PayloadTooLargeError):
        two.left.seal("x" * 10_000)
    with pytest.raises(PayloadError, match="surrogate"):
        two.left.seal("\ud800")
    assert two.right._codec.open(two.left.seal("x")).number == 0


def test_a_payload_without_utf8_form_cannot_be_measured_either() -> None:
    for call in (sides().left.payload_size, sides().left.fits):
        with pytest.raises(PayloadError, match="surrogate"):
            call("\ud800")


@pytest.mark.parametrize(("numbers", "limit"), [(True, MIN_FRAME_BYTES), (False, 2 * MIN_FRAME_BYTES)])
def test_the_receiving_limit_depends_on_the_peers_generation(numbers: bool, limit: int) -> None:
    two = sides(numbers=numbers, limits=SMALL)
    assert two.right.receive_limit == limit
    assert refused(two.right, "0" * (limit + 1)) == "too-long"
    assert refused(two.right, "0" * limit) == "not-opened"


def test_a_connection_is_renewed_rather_than_a_frame_forgotten() -> None:
    two = sides(numbers=False, limits=SMALL)
    frames = [two.left.seal(str(count)) for count in range(7)]
    for count in range(5):
        assert not two.right.must_renew
        assert two.right.open(frames[count]) == str(count)
    assert two.right.must_renew
    for frame in (frames[5], frames[0]):
        assert refused(two.right, frame) == "exhausted"


def test_a_connection_with_numbers_never_needs_renewal() -> None:
    two = sides(limits=SMALL)
    for _ in range(20):
        two.right.open(two.left.seal("x"))
    assert not two.right.must_renew
    assert len(two.right._infos) == 0


def test_a_repeat_of_long_ago_is_still_refused_without_numbers() -> None:
    two = sides(numbers=False, limits=Limits(remembered_infos=5000))
    old = two.left.seal("old")
    two.right.open(old)
    for _ in range(2000):
        two.right.open(two.left.seal("x"))
    assert refused(two.right, old) == "repeated"


def test_errors_show_nothing_of_the_payload() -> None:
    two = sides(limits=SMALL)
    errors = []
    for value in ({"hunter2": 1}, ["hunter2"], "hunter2"):
        with pytest.raises(FrameError) as caught:
            two.right.open(frame_of(two.keys, value))
        errors.append(caught.value)
    assert [error.reason for error in errors] == ["malformed", "malformed", "bare"]
    frame = two.left.seal("hunter2")
    two.right.open(frame)
    with pytest.raises(FrameError) as caught:
        two.right.open(frame)
    for error in (*errors, caught.value):
        assert "hunter2" not in everything_said(error)


class Line(RuleBasedStateMachine):
    """Someone on the path holds frames back, repeats, reorders, reflects and alters them."""

    numbers = True

    def __init__(self) -> None:
        super().__init__()
        self.two = sides(numbers=self.numbers)
        self.sent: list[tuple[bool, str, str]] = []
        self.taken: set[int] = set()

    @rule(from_left=st.booleans())
    def send(self, from_left: bool) -> None:
        text = f"payload {len(self.sent)}"
        sender = self.two.left if from_left else self.two.right
        frame = sender.seal(text)
        assert isinstance(frame, str)
        self.sent.append((from_left, text, frame))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        which = data.draw(st.integers(0, len(self.sent) - 1))
        from_left, text, frame = self.sent[which]
        receiver = self.two.right if from_left else self.two.left
        if which in self.taken:
            assert refused(receiver, frame) == "repeated"
        else:
            assert receiver.open(frame) == text
            self.taken.add(which)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def reflect(self, data: st.DataObject) -> None:
        from_left, _, frame = data.draw(st.sampled_from(self.sent))
        assert refused(self.two.left if from_left else self.two.right, frame) == "reflected"

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), at=st.integers(0, 10**6), bit=st.integers(0, 7))
    def alter(self, data: st.DataObject, at: int, bit: int) -> None:
        from_left, _, frame = data.draw(st.sampled_from(self.sent))
        raw = bytearray.fromhex(frame)
        raw[at % len(raw)] ^= 1 << bit
        assert refused(self.two.right if from_left else self.two.left, raw.hex()) == "not-opened"


class BareLine(Line):
    numbers = False


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=40, deadline=None)
TestBareLine = BareLine.TestCase
TestBareLine.settings = settings(max_examples=40, deadline=None)
