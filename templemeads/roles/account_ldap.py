"""Accounts in OpenLDAP as entries of RFC 2307, through `ldapsearch`, `ldapadd`, `ldapmodify` and `ldapdelete`.

The agent binds as `ldap-user` with the password in `ldap-password-file`, or, without a user, as the user of its process
over `ldapi:///`. Names of users and groups have only letters, digits, `_`, `-` and `.`, so that they need no escapes
in names of entries and filters; anything else is refused before it is sent.

A blocked account has `shadowExpire: 1`, which PAM and SSSD (`ldap_access_order = expire`) refuse, keys of SSH included.
"""

from __future__ import annotations

import base64
import re
from typing import Final

import attrs
import trio

from paddington import ConfigError

from ..config import AgentConfig
from ..errors import JobError
from ..text import quoted
from .account import Groups
from .programs import ProgramError, Programs, Ran, SystemPrograms
from .role import number_option

NO_SUCH_ATTRIBUTE: Final = 16
VALUE_EXISTS: Final = 20
NO_SUCH_OBJECT: Final = 32
ALREADY_EXISTS: Final = 68

MAX_ID: Final = 2**31 - 1

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@attrs.define(eq=False)
class LdapDirectory:
    """Accounts in a directory.

    Attributes:
        groups: What groups accounts are put into.
        url: Where the server is.
        people: The entry under which accounts are.
        group_base: The entry under which groups are.
        bind: The words by which programs are told who asks.
        first_id: The first number of a user or group.
        last_id: The last one.
        shell: The login shell of new accounts.
        programs: What runs programs.
    """

    groups: Groups
    url: str
    people: str
    group_base: str
    bind: tuple[str, ...]
    first_id: int = 20_000
    last_id: int = 60_000
    shell: str = "/bin/bash"
    programs: Programs = attrs.field(factory=SystemPrograms, kw_only=True)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @classmethod
    def from_config(cls, config: AgentConfig, programs: Programs | None = None) -> LdapDirectory:
        """Read the options of the agent.

        Raises:
            ConfigError: One is missing or wrong.
        """
        base = config.option("ldap-base")
        if not base:
            raise ConfigError("The option ldap-base is missing, such as dc=example,dc=org")
        user, file = config.option("ldap-user"), config.option("ldap-password-file")
        if (user is None) != (file is None):
            raise ConfigError(
                "The options ldap-user and ldap-password-file belong together: give both, or neither"
            )
        bind = ("-Y", "EXTERNAL", "-Q") if user is None or file is None else ("-x", "-D", user, "-y", file)
        if config.option("ldap-start-tls", "false") == "true":
            bind = (*bind, "-ZZ")
        first = number_option(config, "first-id", 20_000, most=MAX_ID)
        last = number_option(config, "last-id", 60_000, most=MAX_ID)
        if last < first:
            raise ConfigError(f"The option last-id is {last}, below first-id, which is {first}")
        return cls(
            Groups.from_config(config),
            config.option("ldap-url", "ldapi:///"),
            f"{config.option('ldap-people', 'ou=people')},{base}",
            f"{config.option('ldap-groups', 'ou=groups')},{base}",
            bind,
            first,
            last,
            config.option("shell", "/bin/bash"),
            programs=programs or SystemPrograms(),
        )

    # -- looking up -------------------------------------------------------------------------------------------------

    async def has_user(self, user: str) -> bool:
        """Whether there is an account."""
        return bool(
            await self._search(self.people, f"(&(objectClass=posixAccount)(uid={_checked(user)}))", "uid")
        )

    async def members(self, group: str) -> tuple[str, ...] | None:
        """Return the members of a group; None if there is no such group."""
        name = _checked(group)
        found = await self._search(
            self.group_base, f"(&(objectClass=posixGroup)(cn={name}))", "cn", "memberUid"
        )
        return tuple(found[0].get("memberuid", ())) if found else None

    async def group_names(self) -> tuple[str, ...]:
        """Return the names of all groups."""
        found = await self._search(self.group_base, "(objectClass=posixGroup)", "cn")
        return tuple(name for entry in found for name in entry.get("cn", ()))

    # -- changing ---------------------------------------------------------------------------------------------------

    async def add_group(self, group: str) -> None:
        """Make a group, unless there is one."""
        async with self._lock:
            number = await self._free_id(self.group_base, "gidNumber")
            entry = [("objectClass", "posixGroup"), ("cn", _checked(group)), ("gidNumber", str(number))]
            _require(await self._add(self._group(group), entry), ALREADY_EXISTS)

    async def remove_group(self, group: str) -> None:
        """Remove a group; fine if there is none."""
        _require(await self._run("ldapdelete", self._group(group)), NO_SUCH_OBJECT)

    async def add_user(self, user: str, home: str) -> None:
        """Make an account, unless there is one; its first group is the managed one. The home is made by others."""
        if await self.members(self.groups.managed) is None:
            await self.add_group(self.groups.managed)
        managed = await self._search(self.group_base, f"(cn={_checked(self.groups.managed)})", "gidNumber")
        async with self._lock:
            number = await self._free_id(self.people, "uidNumber")
            name = _checked(user)
            entry = [
                *(("objectClass", each) for each in ("inetOrgPerson", "posixAccount", "shadowAccount")),
                *(("uid", name), ("cn", name), ("sn", name), ("uidNumber", str(number))),
                ("gidNumber", managed[0]["gidnumber"][0]),
                *(("homeDirectory", home), ("loginShell", self.shell)),
            ]
            _require(await self._add(self._user(user), entry), ALREADY_EXISTS)

    async def remove_user(self, user: str) -> None:
        """Remove an account and its memberships; fine if there is none."""
        _require(await self._run("ldapdelete", self._user(user)), NO_SUCH_OBJECT)
        name = _checked(user)
        for entry in await self._search(self.group_base, f"(memberUid={name})", "cn"):
            await self.remove_from_group(user, entry["cn"][0])

    async def add_to_groups(self, user: str, groups: tuple[str, ...]) -> None:
        """Put an account into groups that exist."""
        if not await self.has_user(user):
            raise JobError(f"There is no account {user}")
        for group in groups:
            _require(await self._modify(self._group(group), "add", "memberUid", _checked(user)), VALUE_EXISTS)

    async def remove_from_group(self, user: str, group: str) -> None:
        """Take an account out of a group."""
        ran = await self._modify(self._group(group), "delete", "memberUid", _checked(user))
        _require(ran, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT)

    async def set_home(self, user: str, home: str) -> None:
        """Change the home directory of an account; moves nothing."""
        _require(await self._modify(self._user(user), "replace", "homeDirectory", home))

    async def lock(self, user: str) -> None:
        """Let the account be expired."""
        _require(await self._modify(self._user(user), "replace", "shadowExpire", "1"))

    async def unlock(self, user: str) -> None:
        """Undo `lock`."""
        _require(await self._modify(self._user(user), "replace", "shadowExpire", None))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _user(self, user: str) -> str:
        return f"uid={_checked(user)},{self.people}"

    def _group(self, group: str) -> str:
        return f"cn={_checked(group)},{self.group_base}"

    async def _free_id(self, base: str, attribute: str) -> int:
        found = await self._search(base, f"({attribute}=*)", attribute)
        numbers = [
            int(number) for entry in found for number in entry.get(attribute.lower(), ()) if number.isdigit()
        ]
        taken = {number for number in numbers if self.first_id <= number <= self.last_id}
        number = max(taken, default=self.first_id - 1) + 1
        if number > self.last_id:
            number = next((n for n in range(self.first_id, self.last_id + 1) if n not in taken), 0)
        if not number:
            raise JobError(f"Every {attribute} from {self.first_id} to {self.last_id} is taken")
        return number

    async def _search(self, base: str, which: str, *attributes: str) -> list[dict[str, list[str]]]:
        ran = await self._run("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base, which, *attributes)
        _require(ran, NO_SUCH_OBJECT)
        return read_ldif(ran.output)

    async def _add(self, name: str, entry: list[tuple[str, str]]) -> Ran:
        lines = [_ldif("dn", name), *(_ldif(attribute, value) for attribute, value in entry)]
        return await self._run("ldapadd", text="\n".join(lines) + "\n")

    async def _modify(self, name: str, how: str, attribute: str, value: str | None) -> Ran:
        lines = [_ldif("dn", name), "changetype: modify", f"{how}: {attribute}"]
        lines += [] if value is None else [_ldif(attribute, value)]
        return await self._run("ldapmodify", text="\n".join(lines) + "\n-\n")

    async def _run(self, program: str, *words: str, text: str = "") -> Ran:
        return await self.programs.run([program, "-H", self.url, *self.bind, *words], text=text)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise JobError(f"{quoted(name)} is not a name of an account or group", kind="invalid")
    return name


def _require(ran: Ran, *allowed: int) -> None:
    """Check that an LDAP program succeeded; its exit status is the code of LDAP.

    Raises:
        ProgramError: It failed. The words are left out, since they name the file of the password.
    """
    if ran.status and ran.status not in allowed:
        said = (ran.errors.strip() or ran.output.strip()).splitlines()
        reason = "; ".join(line for line in said if not line.lower().startswith("warning"))[:2000]
        raise ProgramError(f"{ran.words[0]} failed: {reason or f'LDAP code {ran.status}'}", status=ran.status)


def _ldif(attribute: str, value: str) -> str:
    """Write a line of LDIF; base64 keeps every value on its line, whatever is in it."""
    return f"{attribute}:: {base64.b64encode(value.encode()).decode()}"


def read_ldif(text: str) -> list[dict[str, list[str]]]:
    """Read entries of LDIF without folded lines: values by attribute in lower case.

    Raises:
        JobError: A line is something else.
    """
    entries: list[dict[str, list[str]]] = []
    entry: dict[str, list[str]] = {}
    for line in [*text.splitlines(), ""]:
        if not line:
            if entry:
                entries.append(entry)
                entry = {}
            continue
        if line.startswith("#"):
            continue
        attribute, colon, value = line.partition(":")
        if not colon:
            raise JobError(f"ldapsearch wrote {quoted(line)}, which is not LDIF")
        if value.startswith(":"):
            try:
                value = base64.b64decode(value[1:].strip(), validate=True).decode()
            except ValueError:
                raise JobError(f"ldapsearch wrote {quoted(line)}, which is not LDIF") from None
        entry.setdefault(attribute.lower(), []).append(value.strip())
    return entries
