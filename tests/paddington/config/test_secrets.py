"""Secrets at rest, of both versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import ConfigError, Key, ServiceConfig
from paddington.config.secrets import (
    MAX_SECRET_BYTES,
    PREFIX,
    EnvironmentEncryption,
    SimpleEncryption,
    decrypt_secret,
    encrypt_secret,
    is_legacy_secret,
)
from paddington.protocol.crypto import seal

# Protocol page *configuration*, section 4.2: password "portal", secret "s3cret", nonce 00 01 ... 17.
PUBLISHED = "000102030405060708090a0b0c0d0e0f1011121314151617181b954a830e684a80630cd171f9044f86b4dd65a2e1920f"


def test_a_secret_of_an_existing_service_is_read():
    assert decrypt_secret("portal", PUBLISHED) == "s3cret"
    assert decrypt_secret("portal", PUBLISHED.upper()) == "s3cret"
    assert is_legacy_secret(PUBLISHED)


@settings(max_examples=5)
@given(st.text(max_size=200), st.text(min_size=1, max_size=20))
def test_what_is_encrypted_comes_back(value, password):
    try:
        value.encode(), password.encode()
    except UnicodeEncodeError:
        return
    stored = encrypt_secret(password, value)
    assert decrypt_secret(password, stored) == value


@pytest.mark.slow
def test_the_same_secret_is_never_stored_twice_the_same_way():
    one, two = encrypt_secret("p", "value"), encrypt_secret("p", "value")
    assert one != two
    assert one[:45] != two[:45]
    assert not is_legacy_secret(one)
    prefix, salt, sealed = one.split(":")
    assert (prefix + ":", len(salt)) == (PREFIX, 32)
    assert "value" not in one
    # 24 bytes of nonce, 16 of tag, and the JSON with its quotation marks.
    assert len(sealed) == 2 * (24 + 16 + len('"value"'))


def test_the_form_is_that_of_newer_services():
    key = bytes.fromhex("00112233445566778899aabbccddeeff")
    stored = encrypt_secret("portal", "s3cret", random=lambda size: key[:size])
    assert stored.startswith("op-secret-v1:00112233445566778899aabbccddeeff:")
    assert decrypt_secret("portal", stored) == "s3cret"


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "zz",
        "0",
        PUBLISHED[:-2],
        PUBLISHED[:-1],
        PUBLISHED[:-2] + "00",
        " " + PUBLISHED,
        PUBLISHED + "\n",
        PREFIX,
        PREFIX + "00",
        PREFIX + "00" * 16,
        PREFIX + "00" * 16 + ":",
        PREFIX + "00" * 15 + ":" + PUBLISHED,
        PREFIX + "zz" * 16 + ":" + PUBLISHED,
        "00" * (MAX_SECRET_BYTES + 1000),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(stored):
    with pytest.raises(ConfigError) as caught:
        decrypt_secret("portal", stored)
    assert PUBLISHED[:20] not in str(caught.value)
    with pytest.raises(ConfigError, match="does not open with this password"):
        decrypt_secret("other", PUBLISHED)


@pytest.mark.parametrize("data", [b"5", b"null", b"[", b"[" * 60_000, b'"\xff"', b'{"a": "b"}'])
def test_only_texts_are_secrets(data):
    stored = seal(Key.from_password("portal"), data).hex()
    with pytest.raises(ConfigError, match="not a text"):
        decrypt_secret("portal", stored)


def test_a_secret_that_cannot_be_kept_is_refused():
    with pytest.raises(ConfigError, match="at most"):
        encrypt_secret("p", "x" * MAX_SECRET_BYTES)
    with pytest.raises(ConfigError, match="surrogate"):
        encrypt_secret("p", "\ud800")


def test_a_configuration_knows_where_its_password_is(monkeypatch):
    config = ServiceConfig.create("portal")
    with pytest.raises(ConfigError, match="encryption --environment"):
        config.decrypt_secret(PUBLISHED)
    config.encryption = SimpleEncryption()
    assert config.decrypt_secret(PUBLISHED) == "s3cret"
    config.encryption = EnvironmentEncryption("PORTAL_PASSWORD")
    monkeypatch.delenv("PORTAL_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match='"PORTAL_PASSWORD", which protects secrets, is not set'):
        config.decrypt_secret(PUBLISHED)
    monkeypatch.setenv("PORTAL_PASSWORD", "")
    with pytest.raises(ConfigError, match="is not set"):
        config.encrypt_secret("x")
    monkeypatch.setenv("PORTAL_PASSWORD", "portal")
    assert config.decrypt_secret(PUBLISHED) == "s3cret"
    monkeypatch.setenv("PORTAL_PASSWORD", "wrong-pass-word")
    with pytest.raises(ConfigError) as caught:
        config.decrypt_secret(PUBLISHED)
    assert "wrong-pass-word" not in str(caught.value)


@pytest.mark.parametrize("variable", ["", "A=B", "A\nB"])
def test_the_name_of_the_variable_is_checked(variable):
    with pytest.raises(ConfigError, match="environment variable"):
        EnvironmentEncryption(variable)
