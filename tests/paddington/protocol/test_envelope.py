import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import FrameError, JsonError, SealError
from paddington.protocol.crypto import Key, Salt, seal, seal_raw
from paddington.protocol.envelope import (
    EnvelopeKeys,
    Mark,
    decrypt,
    encrypt,
    frame_length,
    open_frame,
    seal_frame,
)
from paddington.protocol.jsontext import write
from paddington.protocol.sizes import FRAME_OVERHEAD, max_value_bytes
from tests.paddington.wire import (
    VECTORS,
    everything_said,
    json_values,
    keys_of,
    random_of,
    some_keys,
)

KEYS = some_keys()
OURS, THEIRS = Mark.generate(), Mark.generate()
FRAME = seal_frame(KEYS, b'"KEEPALIVE"', os.urandom(112), THEIRS)

envelopes = VECTORS["envelope"] + VECTORS["handshake"]["frames"]


@pytest.mark.parametrize("vector", envelopes, ids=lambda v: v.get("what", "envelope"))
def test_frames_are_those_published_byte_for_byte(vector: dict[str, str]) -> None:
    keys = keys_of(vector)
    assert write(vector["value"]) == vector["json"]
    assert seal_frame(keys, vector["json"].encode(), random_of(vector)) == vector["frame"]
    value, infos = open_frame(keys, vector["frame"], OURS)
    assert value.decode() == vector["json"]
    assert infos.hex() == vector["inner_info"] + vector["outer_info"]


@pytest.mark.parametrize("vector", VECTORS["bad_envelope"], ids=lambda v: v["wrong"])
def test_published_bad_frames_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(FrameError):
        open_frame(keys_of(vector), vector["frame"])


@given(json_values)
def test_what_was_sealed_opens_in_either_case(value: object) -> None:
    data = write(value).encode()
    frame = seal_frame(KEYS, data, os.urandom(112), THEIRS)
    assert len(frame) == frame_length(len(data)) == 4 * len(data) + FRAME_OVERHEAD
    assert open_frame(KEYS, frame, OURS)[0] == open_frame(KEYS, frame.upper(), OURS)[0] == data


@given(st.integers(372, 10**7))
def test_the_max_value_bytes_fits_and_one_byte_more_does_not(characters: int) -> None:
    size = max_value_bytes(characters)
    assert frame_length(size) <= characters < frame_length(size + 1)


def test_two_mebibytes_hold_the_published_size() -> None:
    assert max_value_bytes(2_097_152) == 524_195


@given(st.integers(0, len(FRAME) // 2 * 8 - 1))
def test_no_frame_with_a_flipped_bit_opens(bit: int) -> None:
    raw = bytearray.fromhex(FRAME)
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        open_frame(KEYS, raw.hex(), OURS)


@pytest.mark.parametrize("size", range(len(FRAME)))
def test_no_cut_frame_opens(size: int) -> None:
    with pytest.raises(FrameError):
        open_frame(KEYS, FRAME[:size], OURS)


@given(
    st.text()
    | st.text("0123456789abcdefABCDEF", max_size=800)
    | st.text("0\u0660\uff10a\u00e9 \n", min_size=60, max_size=500)
)
def test_any_text_ends_in_a_frame_error(text: str) -> None:
    with pytest.raises(FrameError):
        open_frame(KEYS, text, OURS)


@given(
    st.integers(0, len(FRAME)), st.sampled_from([" ", "\n", "é", "\uff11", "٣", "g", "\ud800", "\x00", "0"])
)
def test_one_character_more_anywhere_is_refused(at: int, character: str) -> None:
    with pytest.raises(FrameError):
        open_frame(KEYS, FRAME[:at] + character + FRAME[at:], OURS)


def test_frames_of_the_same_value_differ_in_everything() -> None:
    frames = [seal_frame(KEYS, b"1", os.urandom(112), OURS) for _ in range(50)]
    for start in (0, 64, 128):
        assert len({frame[start : start + 32] for frame in frames}) == 50


@pytest.mark.parametrize(
    "inner", [b"hello", b'"00', b'00"', b'"', b"", b'"zz"', b'"0 0"', b'" 00"', b'"\\u0030"']
)
def test_an_outer_layer_around_something_else_is_refused(inner: bytes) -> None:
    infos = os.urandom(64)
    frame = (infos + seal_raw(KEYS.outer(infos[32:]), inner, os.urandom(24))).hex()
    with pytest.raises(FrameError, match="does not open"):
        open_frame(KEYS, frame)


@pytest.mark.parametrize("quotes", [b'""', b'"x', b'x"', b"''", b'" '])
def test_the_inner_text_stands_in_quotes(quotes: bytes) -> None:
    infos = os.urandom(64)
    inner = seal_raw(KEYS.inner(infos[:32]), b'"x"', os.urandom(24)).hex().encode()
    outer = seal_raw(KEYS.outer(infos[32:]), quotes[:1] + inner + quotes[1:], os.urandom(24))
    frame = (infos + outer).hex()
    if quotes == b'""':
        assert open_frame(KEYS, frame)[0] == b'"x"'
    else:
        with pytest.raises(FrameError):
            open_frame(KEYS, frame)


def test_our_own_frame_is_recognised_and_a_peers_is_not() -> None:
    mine = seal_frame(KEYS, b"1", os.urandom(112), OURS)
    assert open_frame(KEYS, mine, THEIRS)[0] == b"1"
    with pytest.raises(FrameError) as caught:
        open_frame(KEYS, mine, OURS)
    assert caught.value.reason == "reflected"


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_nobody_elses_infos_carry_our_mark(key: bytes, infos: bytes) -> None:
    assert not OURS.is_on(infos)
    marked = infos[:48] + OURS.of(infos[32:48])
    assert OURS.is_on(marked)
    assert not Mark(key).is_on(marked)


def test_swapped_keys_or_salts_do_not_open() -> None:
    inner_key, outer_key, inner_salt, outer_salt = (
        Key.generate(),
        Key.generate(),
        Salt.generate(),
        Salt.generate(),
    )
    frame = seal_frame(
        EnvelopeKeys.derive(inner_key, outer_key, inner_salt, outer_salt), b"1", os.urandom(112)
    )
    for keys in (
        EnvelopeKeys.derive(outer_key, inner_key, inner_salt, outer_salt),
        EnvelopeKeys.derive(inner_key, outer_key, outer_salt, inner_salt),
    ):
        with pytest.raises(FrameError):
            open_frame(keys, frame)


@pytest.mark.parametrize("vector", VECTORS["encrypt"])
def test_encrypted_values_are_those_published(vector: dict[str, str]) -> None:
    key = Key.from_hex(vector["key"])
    assert write(vector["value"]) == vector["json"]
    assert encrypt(key, vector["value"], nonce=bytes.fromhex(vector["nonce"])) == vector["text"]
    assert decrypt(key, vector["text"]) == vector["value"]


@given(json_values)
def test_an_encrypted_value_comes_back(value: object) -> None:
    key = Key.generate()
    assert decrypt(key, encrypt(key, value)) == value
    assert encrypt(key, value) != encrypt(key, value)


@given(st.text())
def test_other_text_does_not_decrypt(text: str) -> None:
    with pytest.raises(SealError):
        decrypt(Key.generate(), text)


def test_a_frame_that_opens_without_json_has_its_own_error() -> None:
    key = Key.generate()
    with pytest.raises(JsonError) as caught:
        decrypt(key, seal(key, b"hunter2").hex())
    assert key.hex() not in everything_said(caught.value)


def test_a_refused_frame_says_nothing_of_keys_or_value() -> None:
    inner, outer = Key.generate(), Key.generate()
    keys = EnvelopeKeys.derive(inner, outer, Salt.generate(), Salt.generate())
    frame = seal_frame(keys, b'"hunter2"', os.urandom(112))
    derived = keys.inner(bytes.fromhex(frame[:64])), keys.outer(bytes.fromhex(frame[64:128]))
    for wrong in (frame[:-1] + ("1" if frame[-1] == "0" else "0"), frame[:-2], frame + "zz"):
        with pytest.raises(FrameError) as caught:
            open_frame(keys, wrong)
        said = everything_said(caught.value)
        assert "hunter2" not in said
        for key in (inner.expose(), outer.expose(), *derived):
            assert repr(key)[2:-1] not in said
            assert key.hex() not in said
