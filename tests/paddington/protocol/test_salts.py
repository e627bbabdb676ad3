import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import HandshakeError
from paddington.protocol.crypto import Key, Salt
from paddington.protocol.salts import INNER_SALT, OUTER_SALT, SALT_FORMAT, SentSalts
from tests.paddington.wire import VECTORS

A, B = b"1f" * 32, b"a0" * 32


@pytest.mark.parametrize("vector", VECTORS["xor"])
def test_published_headers_give_the_salts(vector: dict[str, str]) -> None:
    keys = {"inner_key": Key.from_hex(vector["inner_key"]), "outer_key": Key.from_hex(vector["outer_key"])}
    inner, outer = Salt.from_hex(vector["inner_salt"]), Salt.from_hex(vector["outer_salt"])
    sent = SentSalts.masked(inner, outer, **keys)
    assert sent.headers() == [
        (INNER_SALT, vector["header_inner"].encode()),
        (OUTER_SALT, vector["header_outer"].encode()),
    ]
    assert SentSalts.read(sent.headers()).salts(**keys) == (inner, outer)


@pytest.mark.parametrize("plain", [b"plain", b"PLAIN", b"Plain", b" plain "])
def test_plain_salts_need_no_keys(plain: bytes) -> None:
    sent = SentSalts.read([(b"Host", b"x"), (INNER_SALT.title(), A), (OUTER_SALT, B), (SALT_FORMAT, plain)])
    salts = sent.salts(inner_key=Key.generate(), outer_key=Key.generate())
    assert [salt.hex().encode() for salt in salts] == [A, B]


@pytest.mark.parametrize("other", [b"", b"xor", b"plainly"])
def test_any_other_format_means_masked(other: bytes) -> None:
    assert not SentSalts.read([(INNER_SALT, A), (OUTER_SALT, B), (SALT_FORMAT, other)]).plain


def test_plain_salts_are_announced() -> None:
    sent = SentSalts(Salt.generate(), Salt.generate(), plain=True)
    assert SentSalts.read(sent.headers()) == sent


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "openportal-inner-salt is missing"),
        ([(INNER_SALT, A)], "openportal-outer-salt is missing"),
        ([(OUTER_SALT, A)], "openportal-inner-salt is missing"),
        ([(INNER_SALT, A), (OUTER_SALT, B), (INNER_SALT, A)], "openportal-inner-salt comes twice"),
        ([(INNER_SALT, A), (OUTER_SALT, B), (b"Openportal-Outer-Salt", A)], "outer-salt comes twice"),
        (
            [(INNER_SALT, A), (OUTER_SALT, B), (SALT_FORMAT, b"x"), (SALT_FORMAT, b"plain")],
            "format comes twice",
        ),
        ([(INNER_SALT, A[:62]), (OUTER_SALT, B)], "not 64 hex"),
        ([(INNER_SALT, A + b"00"), (OUTER_SALT, B)], "not 64 hex"),
        ([(INNER_SALT, A), (OUTER_SALT, b"")], "not 64 hex"),
        ([(INNER_SALT, A), (OUTER_SALT, B[:63] + b"g")], "not 64 hex"),
        ([(INNER_SALT, A), (OUTER_SALT, B + b"\n")], "not 64 hex"),
        ([(INNER_SALT, A), (OUTER_SALT, b" " + B[1:])], "not 64 hex"),
        ([(INNER_SALT, A), (OUTER_SALT, b"\xff" * 64)], "not 64 hex"),
    ],
)
def test_a_missing_doubled_or_broken_salt_is_refused_by_name(
    headers: list[tuple[bytes, bytes]], why: str
) -> None:
    with pytest.raises(HandshakeError, match=why) as caught:
        SentSalts.read(headers)
    assert caught.value.reason == "salts"


names = st.sampled_from([INNER_SALT, OUTER_SALT, SALT_FORMAT, INNER_SALT.upper()]) | st.binary(max_size=8)
values = st.sampled_from([A, B, A.upper(), b"plain", b""]) | st.binary(max_size=70)


@given(st.lists(st.tuples(names, values), max_size=6))
def test_any_headers_give_salts_or_a_handshake_error(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        sent = SentSalts.read(headers)
    except HandshakeError:
        return
    lower = {name.lower(): value for name, value in headers}
    assert sent.inner.hex() == lower[INNER_SALT].decode().lower()
