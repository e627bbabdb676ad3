"""Invites: written by one service, read by another, and by existing ones."""

import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError, Invite, InviteError, Key, Peer

INNER, OUTER = "2c" * 32, "c2" * 32

EXISTING = f"""name = "portal"
url = "ws://localhost:8040/"
zone = "default"

[inner_key]
data = "{INNER}"

[outer_key]
data = "{OUTER}"
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "invite.toml"
    path.write_text(EXISTING)
    path.chmod(0o600)
    return path


def invite(**changes):
    return Invite(
        **{
            "name": "portal",
            "url": "ws://localhost:8040/",
            "inner_key": Key.from_hex(INNER),
            "outer_key": Key.from_hex(OUTER),
            **changes,
        }
    )


def test_an_invite_of_an_existing_service_loads_and_is_written_the_same_way(path, tmp_path):
    loaded = Invite.load(path)
    assert loaded == invite()
    assert loaded.peer == Peer("portal")
    loaded.save(tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_text() == EXISTING
    assert stat.S_IMODE((tmp_path / "again.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INNER, INNER.upper()),
        ("[inner_key]\ndata = ", "inner_key.data = "),
        (f'[outer_key]\ndata = "{OUTER}"', f"[outer_key]\n\"data\" = '{OUTER}'\nmore = 1"),
        ('zone = "default"', 'zone = "default"\nfuture = [1, 2]'),
    ],
)
def test_any_spelling_of_the_same_data_is_read(path, old, new):
    path.write_text(EXISTING.replace(old, new))
    assert Invite.load(path) == invite()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "portal"\n', "", '"name" is missing'),
        ('"portal"', '""', "The name is empty"),
        ('"portal"', '"a b"', 'The name "a b"'),
        ('"portal"', '"a\\nb"', r'The name "a\nb"'),
        ('url = "ws://localhost:8040/"\n', "", '"url" is missing'),
        ("ws://localhost:8040/", "", 'The url ""'),
        ("ws://localhost:8040/", "file:///etc/passwd", 'The url "file:///etc/passwd"'),
        ("ws://localhost:8040/", "ws://a\\r\\nb", "The url"),
        ('zone = "default"\n', "", '"zone" is missing'),
        ('"default"', '"a/b"', 'The zone "a/b"'),
        (INNER, "00" * 32, "The inner key is all zero"),
        (OUTER, "00" * 32, "The outer key is all zero"),
        (INNER, INNER[:-2], "64 hexadecimal digits"),
        (INNER, INNER + "aa", "64 hexadecimal digits"),
        (INNER, " " + INNER[1:], "64 hexadecimal digits"),
        (f'[inner_key]\ndata = "{INNER}"', f'[inner_key]\nkey = "{INNER}"', '"data" is missing'),
        (f'[inner_key]\ndata = "{INNER}"', "[inner_key]\ndata = 5", '"data" is wrong'),
        ("[outer_key]", "[outer_key", "not valid TOML (line 8"),
        ('name = "portal"\n', 'name = "portal"\ntype = 5\n', '"type" must be a string'),
        ('name = "portal"\n', 'name = "portal"\nproxy = "a b"\n', "The name"),
    ],
)
def test_a_damaged_invite_is_reported_in_one_line_without_keys(path, old, new, words):
    assert old in EXISTING
    path.write_text(EXISTING.replace(old, new))
    with pytest.raises(InviteError) as caught:
        Invite.load(path)
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert message.isprintable()
    assert INNER[:16] not in message
    assert OUTER[:16] not in message


def test_flat_keys_are_refused_with_the_right_form(path):
    path.write_text(
        f'name = "p"\nurl = "ws://h:1/"\nzone = "z"\ninner_key = "{INNER}"\nouter_key = "{OUTER}"\n'
    )
    with pytest.raises(InviteError, match=r'must be a table: \{data = "64 hexadecimal digits"\}') as caught:
        Invite.load(path)
    assert INNER[:16] not in str(caught.value)


def test_an_invite_that_others_can_read_is_refused_with_the_command_that_fixes_it(path):
    for mode in (0o644, 0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(InviteError, match=f'chmod 600 "{path}"'):
            Invite.load(path)
        assert Invite.load(path, allow_readable=True) == invite()
    path.chmod(0o400)
    assert Invite.load(path) == invite()


def test_a_missing_file_and_a_wrong_kind_of_file_are_reported(path, tmp_path):
    with pytest.raises(InviteError, match="No such file"):
        Invite.load(tmp_path / "nowhere.toml")
    path.write_text('agent = "Portal"\n[service]\nname = "portal"\n')
    with pytest.raises(InviteError, match="the configuration of an agent, not an invitation"):
        Invite.load(path)
    with pytest.raises(InviteError, match="Cannot write"):
        invite().save(tmp_path / "invite.toml" / "below")


def test_the_newer_fields_are_kept(path):
    path.write_text('proxy = "relay"\ntype = "Portal"\n' + EXISTING.replace("ws://localhost:8040/", ""))
    loaded = Invite.load(path)
    assert (loaded.proxy, loaded.type, loaded.url) == ("relay", "portal", "")
    loaded.save(path)
    assert Invite.load(path) == loaded
    assert "proxy" not in invite().to_toml() or invite().to_toml()["proxy"] is None


def test_an_ill_formed_invite_cannot_be_made():
    for changes in (
        {"name": ""},
        {"zone": "a b"},
        {"url": "x"},
        {"inner_key": Key(bytes(32))},
        {"outer_key": INNER},
        {"proxy": ""},
    ):
        with pytest.raises(ConfigError):
            invite(**changes)


@given(
    st.from_regex(r"[\w-]{1,12}", fullmatch=True),
    st.from_regex(r"[\w<>-]{1,12}", fullmatch=True),
    st.sampled_from(["ws://h:1/x", "wss://h", "ws://[::1]:8042/"]),
    st.binary(min_size=32, max_size=32).filter(any),
)
def test_any_invite_survives_its_file(tmp_path_factory, name, zone, url, key):
    try:
        made = invite(name=name, zone=zone, url=url, inner_key=Key(key))
    except ConfigError:
        # \w knows a few characters that are no letters.
        return
    path = tmp_path_factory.mktemp("invites") / "i.toml"
    made.save(path)
    assert Invite.load(path) == made
    assert tomllib.loads(path.read_text())["inner_key"] == {"data": key.hex()}
