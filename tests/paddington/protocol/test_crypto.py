import copy
import pickle
import traceback

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2i
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington.errors import ConfigError, SealError
from paddington.protocol.crypto import (
    PASSWORD_MEMORY_KIB_V1,
    Deriver,
    Key,
    Salt,
    derive,
    mask_salts,
    open_sealed,
    password_key,
    seal,
)
from tests.paddington.wire import VECTORS, everything_said

keys = st.binary(min_size=32, max_size=32).map(Key)
salts = st.binary(min_size=32, max_size=32).map(Salt)


@pytest.mark.parametrize("vector", VECTORS["hkdf"])
def test_derived_keys_are_those_published(vector: dict[str, str]) -> None:
    deriver = Deriver(bytes.fromhex(vector["ikm"]), bytes.fromhex(vector["salt"]))
    assert deriver.expand(bytes.fromhex(vector["info"]), int(vector["length"])).hex() == vector["okm"]


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100), st.integers(1, 300))
def test_deriving_agrees_with_another_implementation(
    key: bytes, salt: bytes, info: bytes, length: int
) -> None:
    other = HKDF(algorithm=hashes.SHA512(), length=length, salt=salt, info=info).derive(key)
    deriver = Deriver(key, salt)
    assert deriver.expand(info, length) == other
    assert deriver(info)[:length] == other[:32]


@given(keys, salts, st.binary(min_size=32, max_size=32))
def test_derive_is_what_a_deriver_gives(key: Key, salt: Salt, info: bytes) -> None:
    assert derive(key, salt, info).expose() == Deriver(key.expose(), salt.expose())(info)


@pytest.mark.parametrize("vector", VECTORS["seal"])
def test_sealed_data_are_those_published(vector: dict[str, str]) -> None:
    key = Key.from_hex(vector["key"])
    sealed = seal(key, vector["plain_utf8"].encode(), nonce=bytes.fromhex(vector["nonce"]))
    assert sealed.hex() == vector["sealed"]
    assert open_sealed(key, sealed).decode() == vector["plain_utf8"]


@given(keys, st.binary())
def test_what_was_sealed_opens(key: Key, data: bytes) -> None:
    assert open_sealed(key, seal(key, data)) == data
    assert seal(key, data) != seal(key, data)


@given(st.data())
def test_no_altered_data_open(data: st.DataObject) -> None:
    key = data.draw(keys)
    sealed = bytearray(seal(key, data.draw(st.binary(max_size=50))))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        open_sealed(key, bytes(sealed))


@given(keys, st.binary(max_size=60))
def test_anything_else_does_not_open_and_says_nothing_about_it(key: Key, data: bytes) -> None:
    with pytest.raises(SealError) as caught:
        open_sealed(key, data)
    assert caught.value.__context__ is None


@given(st.data())
def test_no_cut_data_open(data: st.DataObject) -> None:
    key = data.draw(keys)
    sealed = seal(key, data.draw(st.binary(max_size=50)))
    with pytest.raises(SealError):
        open_sealed(key, sealed[: data.draw(st.integers(0, len(sealed) - 1))])


@pytest.mark.parametrize("vector", VECTORS["xor"])
def test_salts_are_masked_crosswise_as_published(vector: dict[str, str]) -> None:
    inner_key, outer_key = Key.from_hex(vector["inner_key"]), Key.from_hex(vector["outer_key"])
    salts = Salt.from_hex(vector["inner_salt"]), Salt.from_hex(vector["outer_salt"])
    masked = mask_salts(*salts, inner_key=inner_key, outer_key=outer_key)
    assert [salt.hex() for salt in masked] == [vector["header_inner"], vector["header_outer"]]
    assert mask_salts(*masked, inner_key=inner_key, outer_key=outer_key) == salts


@pytest.mark.parametrize("vector", VECTORS["password"]["keys"])
def test_password_keys_are_those_published(vector: dict[str, str]) -> None:
    assert Key.from_password(vector["password_utf8"]).hex() == vector["key"]


@settings(max_examples=5)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(min_size=16, max_size=16))
def test_version_1_password_keys_agree_with_another_implementation(password: str, salt: bytes) -> None:
    other = Argon2i(salt=salt, length=32, iterations=3, lanes=1, memory_cost=PASSWORD_MEMORY_KIB_V1)
    key = password_key(password, salt=salt, memory_kib=PASSWORD_MEMORY_KIB_V1)
    assert key.expose() == other.derive(password.encode())


def test_a_password_without_utf8_form_is_refused_without_being_shown() -> None:
    for derive_key in (Key.from_password, password_key):
        with pytest.raises(ConfigError, match="no UTF-8 form") as caught:
            derive_key("hunter2\ud800")
        assert "hunter2" not in everything_said(caught.value)


def test_a_password_salt_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 bytes, not 15"):
        password_key("p", salt=bytes(15))


@given(keys)
def test_a_key_parses_back_from_its_hex_in_either_case(key: Key) -> None:
    assert Key.from_hex(key.hex()) == Key.from_hex(key.hex().upper()) == key
    assert key.hex() == key.hex().lower()


DIGITS = "1f" * 32


@pytest.mark.parametrize(
    "text",
    [
        "", DIGITS[:62], DIGITS[:63], DIGITS + "00", DIGITS + "\n", " " + DIGITS[1:], "0x" + DIGITS[2:],
        "1f " * 21 + "1", DIGITS[:-1] + "g", DIGITS[:-1] + "\uff11", DIGITS[:-1] + "\u0661",
        None, 5, DIGITS.encode(),
    ],
)  # fmt: skip
def test_other_texts_are_no_keys_and_are_not_shown(text: object) -> None:
    with pytest.raises(ConfigError, match="64 hexadecimal digits") as caught:
        Key.from_hex(text)
    assert "1f1f" not in everything_said(caught.value)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ConfigError, match=f"32 bytes, not {size}") as caught:
        Key(b"\x1f" * size)
    assert "x1f" not in everything_said(caught.value)


@given(keys)
def test_a_key_shows_nowhere(key: Key) -> None:
    shown = f"{key} {key!r} {key!s} {[key]} { ({key: key}) } {Salt(key.expose())}"
    assert "redacted" in shown
    assert key.hex() not in shown
    assert repr(key.expose()) not in shown


def test_a_key_cannot_be_changed_pickled_or_widened() -> None:
    key = Key.generate()
    for attribute in ("_raw", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(key, attribute, b"")
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(key, attribute)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)
    assert copy.copy(key) is key
    assert copy.deepcopy([key]) == [key]


def test_keys_and_salts_are_equal_by_value_and_kind() -> None:
    raw = bytes(range(32))
    assert Key(raw) == Key(raw)
    assert hash(Key(raw)) == hash(Key(raw))
    assert Key(raw) != Key(bytes(32))
    assert Key(raw) != Salt(raw)
    assert Key(raw) != raw
    assert len({Key(raw), Key(raw), Salt(raw)}) == 2


def test_the_zero_key_differs_from_all_others() -> None:
    assert Key(bytes(32)).is_zero
    assert not Key(bytes(31) + b"\x01").is_zero
    assert not Key.generate().is_zero


def test_generated_keys_differ() -> None:
    assert len({Key.generate() for _ in range(100)}) == 100


def test_a_refused_seal_says_nothing_of_key_or_plain_text() -> None:
    key = Key.generate()
    with pytest.raises(SealError) as caught:
        open_sealed(key, seal(key, bytes.fromhex("68756e74657232"))[:-1])
    said = everything_said(caught.value) + "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in said
    assert repr(key.expose())[2:-1] not in said
    assert key.hex() not in said
