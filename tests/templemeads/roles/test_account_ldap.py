"""Accounts in OpenLDAP, with pretend programs; a real server is in `tests.services`."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads.agent_type import AgentType
from templemeads.errors import JobError
from templemeads.roles.account import open_directory
from templemeads.roles.account_ldap import LdapDirectory, read_ldif
from templemeads.roles.programs import ProgramError, Ran

from .fakes import make_config

BASE = "dc=example,dc=org"


class Programs:
    """Answers every program alike, and records what it read."""

    def __init__(self, output="", status=0, errors=""):
        self.answer = (status, output, errors)
        self.ran = []

    async def run(self, words, *, timeout=60.0, text=""):
        self.ran.append((list(words), text))
        return Ran(tuple(words), *self.answer)


def directory(programs, **extras):
    return LdapDirectory.from_config(
        make_config("accounts", AgentType.ACCOUNT, ldap_base=BASE, **extras), programs
    )


def test_a_base_is_enough_to_choose_it():
    config = make_config("accounts", AgentType.ACCOUNT, ldap_base=BASE)
    assert isinstance(open_directory(config).directory, LdapDirectory)


@pytest.mark.parametrize(
    "extras",
    [
        {"backend": "ldap"},
        {"ldap_base": BASE, "ldap_user": "cn=admin"},
        {"ldap_base": BASE, "ldap_password_file": "/x"},
        {"ldap_base": BASE, "first_id": "9", "last_id": "8"},
        {"ldap_base": BASE, "first_id": "none"},
    ],
)
def test_wrong_options_are_refused(extras):
    with pytest.raises(ConfigError):
        open_directory(make_config("accounts", AgentType.ACCOUNT, **extras))


@pytest.mark.parametrize("name", ["", "*", "a)(uid=*", "a,dc=x", "a\n", "a b", "-x", "é", "a=b", "a+b"])
async def test_a_name_that_would_mean_more_in_a_filter_is_never_sent(name):
    programs = Programs()
    for step in ("has_user", "members", "add_group", "remove_user", "remove_group", "lock"):
        with pytest.raises(JobError, match="not a name"):
            await getattr(directory(programs), step)(name)
    assert all(name not in words for words, _ in programs.ran)


async def test_values_travel_in_base64_so_that_none_can_add_a_line():
    programs = Programs()
    await directory(programs).set_home("fred", "/x\nuserPassword: y")
    ((_, text),) = programs.ran
    assert "userPassword" not in text
    assert base64.b64encode(b"/x\nuserPassword: y").decode() in text


async def test_the_password_is_in_a_file_and_without_a_user_the_process_itself_is_asked():
    programs = Programs()
    await directory(
        programs, ldap_user="cn=admin", ldap_password_file="/etc/pw", ldap_start_tls="true"
    ).group_names()
    await directory(programs).group_names()
    named, local = (words for words, _ in programs.ran)
    assert named[1:9] == ["-H", "ldapi:///", "-x", "-D", "cn=admin", "-y", "/etc/pw", "-ZZ"]
    assert local[1:6] == ["-H", "ldapi:///", "-Y", "EXTERNAL", "-Q"]


async def test_an_error_shows_what_the_server_said_and_no_warning_about_files():
    programs = Programs(
        status=49, errors="Warning: Password file /etc/pw is readable\nldap_bind: Invalid credentials (49)\n"
    )
    with pytest.raises(ProgramError) as caught:
        await directory(programs).has_user("fred")
    assert str(caught.value) == "ldapsearch failed: ldap_bind: Invalid credentials (49)"


VALUES = st.lists(st.text("ab é:", min_size=1).map(str.strip).filter(bool), min_size=1)
ENTRY = st.dictionaries(st.sampled_from(["cn", "uid", "memberuid"]), VALUES, min_size=1)


@given(st.lists(ENTRY))
def test_entries_are_read_as_they_were_written(entries):
    lines = []
    for entry in entries:
        for attribute, values in entry.items():
            for number, value in enumerate(values):
                plain = value.isascii() and number % 2 == 0 and not value.startswith((":", " ", "<"))
                encoded = base64.b64encode(value.encode()).decode()
                lines.append(f"{attribute}: {value}" if plain else f"{attribute}:: {encoded}")
        lines.append("")
    assert read_ldif("\n".join(lines)) == entries


@pytest.mark.parametrize("text", ["nonsense", "cn:: ???", "cn:: /w=="])
def test_what_is_no_ldif_is_an_error(text):
    with pytest.raises(JobError, match="not LDIF"):
        read_ldif(text)
