"""Frame arithmetic: what fits, for each generation of peers, agrees with what a session seals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Limits, PayloadTooLargeError, always_fitting_characters, fits, max_payload_bytes
from paddington.limits import MIN_FRAME_BYTES
from paddington.protocol.dense import DenseKeys, DenseSession
from tests.paddington.wire import sides

LIMITS = Limits(
    frame_bytes=MIN_FRAME_BYTES, legacy_frame_bytes=3 * MIN_FRAME_BYTES, dense_frame_bytes=MIN_FRAME_BYTES
)


def session(peer_numbers, limits=LIMITS):
    return sides(numbers=peer_numbers, limits=limits).left


@given(
    st.booleans(),
    st.lists(st.sampled_from(["a", '"', "\\", "\n", "\x01", "é", "😀", "\u2028"]), min_size=1, max_size=4),
    st.integers(0, 14_000),
)
def test_what_is_said_to_fit_is_sealed_and_nothing_else(peer_numbers, characters, length):
    text = ("".join(characters) * length)[:length]
    its_session = session(peer_numbers)
    try:
        frame = its_session.seal(text)
    except PayloadTooLargeError as error:
        assert not fits(text, LIMITS, peer_numbers=peer_numbers)
        assert error.limit == max_payload_bytes(LIMITS, peer_numbers=peer_numbers)
    else:
        assert fits(text, LIMITS, peer_numbers=peer_numbers)
        assert len(frame) <= its_session.send_limit


@pytest.mark.parametrize(("peer_numbers", "characters"), [(True, 2_097_152), (False, 16_777_216)])
def test_each_generation_gets_frames_as_large_as_it_takes(peer_numbers, characters):
    its_session = session(peer_numbers, Limits())
    largest = "x" * (its_session.largest_payload - 2)
    assert characters - 100 < len(its_session.seal(largest)) <= characters
    with pytest.raises(PayloadTooLargeError):
        its_session.seal(largest + "x")


@pytest.mark.parametrize("character", ["x", '"', "\x01", "é", "😀"])
def test_whatever_a_peer_of_any_generation_sends_can_be_passed_on(character):
    sender = session(peer_numbers=False, limits=Limits())
    text = character * ((sender.largest_payload - 2) // (sender.payload_size(character) - 2))
    assert sender.fits(text)
    assert session(peer_numbers=False, limits=Limits()).fits(text)
    dense = DenseSession(DenseKeys(bytes(32), bytes(32)), limits=Limits())
    assert dense.fits(text)
    frame, count = dense.seal_some([text])
    assert count == 1
    assert len(frame) <= dense.receive_limit


def test_texts_that_surely_fit_do_so_in_the_worst_case():
    assert fits("\x01" * always_fitting_characters(LIMITS), LIMITS)
