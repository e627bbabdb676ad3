"""The configuration of an agent: what it is, its service, and its options.

On disk it is one TOML file with the keys `agent`, `[service]` and `[extras]` of existing agents, and six of ours
that they ignore: `store`, `pair`, `handler`, `control`, `healthcheck_ip` and `[limits]`. Source: the protocol
page *configuration*, section 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self, overload

import attrs

from paddington import ConfigError, ServiceConfig
from paddington.config.files import NewFile, read_checked, write_files
from paddington.config.secrets import SecretFormat, fitting_format
from paddington.config.service_config import WHOLE_TABLES
from paddington.config.toml import TableReader, parse_toml
from paddington.config.toml_edit import edited_toml, format_toml

from .agent_type import AgentType
from .errors import ParseError
from .limits import Limits

MAX_CONTROL_PATH_BYTES: Final = 100
"""Length of the path of the control socket; the kernel takes 107."""

ROLE_TABLES: Final = ("bridge", "dashboard", "quota_engines", "user_volumes", "project_volumes")
"""Root tables of configuration files that the ready-made agents read for themselves."""


def _check_ip(_: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is None:
        return
    try:
        ip_address(value)
    except ValueError:
        raise ConfigError(
            f'"{attribute.name}" must be an IP address such as "127.0.0.1", not {value[:60]!a}'
        ) from None


@attrs.define
class AgentConfig:
    """The configuration of one agent.

    Attributes:
        service: Its name, address, keys and peers.
        agent_type: What it is.
        extras: Free options and encrypted secrets.
        store: Where its boards are: `sqlite:///path/to/file`, `postgresql://…`, or `memory:` (also None).
        pair: Whether this is one of several processes with the same name, configuration and PostgreSQL store, of which one
            leads and the others wait to take over.
        handler: The handler as `package.module:name` or `file.py:name`, for the command line.
        control: Path of the control socket, for the command line.
        healthcheck_ip: Address of the health endpoint, or None for loopback.
        limits: How much it takes on.
        tables: What stands in the root tables that ready-made agents read (`ROLE_TABLES`), by name.
    """

    service: ServiceConfig
    agent_type: AgentType = attrs.field(validator=attrs.validators.instance_of(AgentType))
    extras: dict[str, str] = attrs.field(factory=dict, kw_only=True, repr=False)
    store: str | None = attrs.field(default=None, kw_only=True)
    pair: bool = attrs.field(default=False, kw_only=True, validator=attrs.validators.instance_of(bool))
    handler: str | None = attrs.field(default=None, kw_only=True)
    control: str | None = attrs.field(default=None, kw_only=True)
    healthcheck_ip: str | None = attrs.field(default=None, kw_only=True, validator=_check_ip)
    limits: Limits = attrs.field(factory=Limits, kw_only=True)
    tables: dict[str, Any] = attrs.field(factory=dict, kw_only=True, repr=False)  # Any: what TOML tables hold

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.service.name

    @overload
    def option(self, key: str) -> str | None: ...
    @overload
    def option(self, key: str, default: str) -> str: ...

    def option(self, key: str, default: str | None = None) -> str | None:
        """Return a plain option from `[extras]`, or the default."""
        return self.extras.get(key, default)

    def secret(self, key: str) -> str | None:
        """Return a decrypted secret from `[extras]`, or None if there is none of this name.

        Slow on purpose (tens of milliseconds): call it once, in a thread where an agent is running.

        Raises:
            ConfigError: No encryption is chosen, its variable is not set, or the text does not open.
        """
        stored = self.extras.get(key)
        return None if stored is None else self.service.decrypt_secret(stored)

    def set_secret(self, key: str, value: str, secret_format: SecretFormat | None = None) -> None:
        """Encrypt a string and store it under `[extras]`.

        Args:
            key: Its name.
            value: The secret.
            secret_format: How to write it. By default as the secret that it replaces; otherwise as version 0 if all
                present secrets are, so that the agents that read them can read it, and as version 1 if not.

        Raises:
            ConfigError: No encryption is chosen, or its variable is not set.
        """
        chosen = (
            fitting_format(self.extras.values(), self.extras.get(key))
            if secret_format is None
            else secret_format
        )
        self.extras[key] = self.service.encrypt_secret(value, chosen)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allow_readable: bool = False) -> Self:
        """Read a configuration file.

        Args:
            path: The file.
            allow_readable: Take it though others can read the keys in it.

        Raises:
            ConfigError: There is no such file, others can read its keys, or something in it is wrong.
        """
        file = read_checked(path, "configuration")
        source = f"The configuration {str(file.path)[:300]!r}"
        config = cls.from_toml(parse_toml(file.text, source), source)
        if config.service.holds_keys and not allow_readable:
            file.refuse_readable("configuration")
        return config

    @classmethod
    def from_toml(cls, document: Mapping[str, Any], source: str = "The configuration") -> Self:
        """Read the root table of a configuration file.

        Args:
            document: The table, as tomllib gives it.
            source: What to call the file in errors.

        Raises:
            ConfigError: Something is missing or wrong; the message says where.
        """
        reader = TableReader(document, source)
        limits = reader.optional_table("limits")
        extras = reader.optional_table("extras")
        word = reader.text("agent")
        if word not in [agent_type.value for agent_type in AgentType]:
            names = ", ".join(agent_type.value for agent_type in AgentType)
            raise reader.error("agent", f"must be one of {names}")
        try:
            read_limits = Limits() if limits is None else Limits.from_table(limits.values)
        except ParseError as error:
            raise reader.error("limits", str(error)) from None
        return cls(
            ServiceConfig.from_toml(reader.table("service").values, f"{source}, service"),
            AgentType(word),
            extras={} if extras is None else {key: extras.text(key) for key in extras.values},
            store=reader.optional_text("store"),
            pair=reader.has("pair") and reader.boolean("pair"),
            handler=reader.optional_text("handler"),
            control=reader.optional_text("control"),
            healthcheck_ip=reader.optional_text("healthcheck_ip"),
            limits=read_limits,
            tables={name: reader.table(name).values for name in ROLE_TABLES if reader.has(name)},
        )

    def to_toml(self) -> dict[str, Any]:
        """Return the root table; None stands for a key to be left out."""
        return {
            "agent": self.agent_type.value,
            "store": self.store,
            "pair": self.pair or None,
            "handler": self.handler,
            "control": self.control,
            "healthcheck_ip": self.healthcheck_ip,
            "service": self.service.to_toml(),
            "extras": self.extras,
            "limits": self.limits.to_table() or None,
            **self.tables,
        }

    def save(
        self, path: str | os.PathLike[str], *, keep_group: bool = False, together_with: Sequence[NewFile] = ()
    ) -> None:
        """Write the configuration to a file of mode 0600. An existing file is edited: comments, order and other keys stay.

        Args:
            path: The file; if it is a symbolic link, the file that it means.
            keep_group: Whether a group that may read an existing file, and is not our own, still may.
            together_with: Files that are written with it, such as an invitation: all or none.

        Raises:
            ConfigError: A file cannot be written or edited; all are as they were.
        """
        edit = NewFile(path=Path(path), text=self._text_for(path), edit=True, keep_group=keep_group)
        # Last: after a crash in between, there is an invitation that opens nothing, not keys that nobody has.
        write_files([*together_with, edit])

    def create(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write the configuration to a new file of mode 0600; nothing of an older file stays but its owner.

        Args:
            path: The file.
            replace: Whether an existing file is replaced; otherwise it is an error.

        Raises:
            ConfigError: The file exists or cannot be written; it is as it was.
        """
        text = format_toml(self.to_toml())
        write_files([NewFile(path=Path(path), text=text, replace=replace, edit=True)])

    def _text_for(self, path: str | os.PathLike[str]) -> str:
        if not Path(path).exists():
            return format_toml(self.to_toml())
        file = read_checked(path, "configuration")
        source = f"The configuration {str(file.path)[:300]!r}"
        return edited_toml(file.text, self.to_toml(), source, whole=WHOLE_TABLES | {"extras"})
