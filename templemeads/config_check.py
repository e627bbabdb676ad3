"""Looks at a configuration file as people write it: every problem, with its line and what to do.

Reading a file stops at the first mistake; this tries its parts one by one, so that all are found at once. Pure: text in,
problems out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

import attrs

from paddington import ConfigError, ServiceConfig
from paddington.config.secrets import PREFIX, looks_like_secret
from paddington.config.service_config import HEALTHCHECK_KEY
from paddington.config.toml import parse_toml
from paddington.config.url import dropped_path

from .config import MAX_CONTROL_PATH_BYTES, AgentConfig
from .errors import ParseError
from .store_url import parse_store
from .text import quoted

_ROOT_KEYS: Final = (
    "agent",
    "store",
    "pair",
    "handler",
    "control",
    "healthcheck_ip",
    "service",
    "extras",
    "limits",
    "bridge",
)
_SERVICE_KEYS: Final = (
    "name", "url", "ip", "port", HEALTHCHECK_KEY, "proxy_header", "trusted_proxy", "servers", "clients", "encryption",
    "limits",
)  # fmt: skip
_SERVER_KEYS: Final = (
    "name",
    "url",
    "zone",
    "proxy",
    "type",
    "plain_salts",
    "urls",
    "inner_key",
    "outer_key",
)
_CLIENT_KEYS: Final = ("name", "ip", "zone", "proxy", "type", "inner_key", "outer_key")
_ROLE_KEYS: Final = ("quota_engines", "user_volumes", "project_volumes")

_SOUND: Final[Mapping[str, Any]] = {
    "name": "checked-service",
    "url": "ws://localhost:1/",
    "ip": "127.0.0.1",
    "port": 1,
    "servers": [],
    "clients": [],
}

_SOUND_SERVER: Final[Mapping[str, Any]] = {
    "name": "checked-peer",
    "url": "ws://localhost:2/",
    "inner_key": {"data": "01" * 32},
    "outer_key": {"data": "02" * 32},
}
_SOUND_CLIENT: Final[Mapping[str, Any]] = {
    "name": "checked-peer",
    "ip": {"IP": "127.0.0.1"},
    "inner_key": {"data": "01" * 32},
    "outer_key": {"data": "02" * 32},
}


@attrs.frozen
class Problem:
    """Something to be mended, or at least looked at.

    Attributes:
        line: Where, counted from 1; None where it concerns the whole.
        text: What is wrong and what to do.
        is_error: Whether the agent would not start with it.
    """

    line: int | None
    text: str
    is_error: bool = True


def check_config(text: str) -> list[Problem]:
    """Return everything that is wrong with a configuration file, in the order of its lines.

    Args:
        text: The file.
    """
    try:
        document = parse_toml(text, "The file")
    except ConfigError as error:
        found = re.search(r"line (\d+)", str(error))
        return [Problem(int(found[1]) if found else None, str(error))]
    lines = _Lines(text)
    problems = [
        *_check_root(document, lines),
        *_check_service(document, lines),
        *_check_extras(document, lines),
    ]
    if not any(problem.is_error for problem in problems):
        try:
            config = AgentConfig.from_toml(document, "The file")
        except (ConfigError, ParseError) as error:
            problems.append(Problem(lines.find("service"), _told(error)))
        else:
            problems += _advise(config, lines)
            problems += _dropped_paths(document, lines)
    return sorted(problems, key=lambda problem: problem.line or 0)


def _dropped_paths(document: Mapping[str, Any], lines: _Lines) -> Iterator[Problem]:
    service = document["service"]
    urls = [(service["url"], lines.find("service", "url"))]
    urls += [
        (server.get("url"), lines.find("service", "servers", "url", index=index))
        for index, server in enumerate(service["servers"])
    ]
    for url, line in urls:
        if url and (path := dropped_path(url)) is not None:
            text = f"the path {quoted(path)} is dropped because the port is the default one; use another port or no path"
            yield Problem(line, text, is_error=False)


def advise(config: AgentConfig) -> list[str]:
    """Return what works in a configuration but deserves a look, as sentences for the log."""
    return [problem.text for problem in _advise(config, _Lines(""))]


# -- parts -----------------------------------------------------------------------------------------------------------


def _check_root(document: Mapping[str, Any], lines: _Lines) -> Iterator[Problem]:
    yield from _unknown(document, (*_ROOT_KEYS, *_ROLE_KEYS), lines, ())
    for key in ("agent", "limits", "handler", "control", "healthcheck_ip", "pair"):
        if key in document or key == "agent":
            part = {"agent": "Portal", "service": dict(_SOUND)} | {
                key: document[key] for key in [key] if key in document
            }
            yield from _tried(lines.find(key), AgentConfig.from_toml, part, "")
    control = document.get("control")
    if isinstance(control, str) and len(control.encode("utf-8", "replace")) > MAX_CONTROL_PATH_BYTES:
        text = (
            f"the path of the control socket is longer than {MAX_CONTROL_PATH_BYTES} bytes; use a shorter one"
        )
        yield Problem(lines.find("control"), text)
    if isinstance(store := document.get("store"), str):
        yield from _tried(lines.find("store"), parse_store, store)
    elif "store" in document:
        yield Problem(lines.find("store"), '"store" must be a text such as "sqlite:///boards.db"')


def _check_service(document: Mapping[str, Any], lines: _Lines) -> Iterator[Problem]:
    service = document.get("service")
    if not isinstance(service, Mapping):
        yield Problem(lines.find("service"), "the table [service] is missing: it says name, url, ip and port")
        return
    yield from _unknown(service, _SERVICE_KEYS, lines, ("service",))
    for key in _SERVICE_KEYS:
        if key in ("servers", "clients"):
            yield from _check_peers(service, key, lines)
        elif key in service or key in _SOUND:
            part = {name: value for name, value in _SOUND.items() if name != key} | {
                name: service[name] for name in (key,) if name in service
            }
            place = lines.find("service", key) or lines.find("service")
            yield from _tried(place, ServiceConfig.from_toml, part, "")


def _check_peers(service: Mapping[str, Any], key: str, lines: _Lines) -> Iterator[Problem]:
    entries = service.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        yield Problem(
            lines.find("service"),
            f'"{key}" must be an array of tables; write {key} = [] where there are none',
        )
        return
    for index, entry in enumerate(entries):
        line = lines.find("service", key, index=index)
        known = _SERVER_KEYS if key == "servers" else _CLIENT_KEYS
        yield from _unknown(entry, known, lines, ("service", key), index)
        sound = _SOUND_SERVER if key == "servers" else _SOUND_CLIENT
        whole = list(_tried(line, ServiceConfig.from_toml, {**_SOUND, key: [entry]}, ""))
        found: list[Problem] = []
        for name in known if whole else ():
            part = {each: value for each, value in sound.items() if each != name}
            part |= {name: entry[name]} if name in entry else {}
            place = lines.find("service", key, name, index=index) or line
            found += _tried(place, ServiceConfig.from_toml, {**_SOUND, key: [part]}, "")
        # What is wrong with an entry as a whole, such as neither address nor relay, shows in no single key.
        yield from found or whole


def _check_extras(document: Mapping[str, Any], lines: _Lines) -> Iterator[Problem]:
    extras = document.get("extras", {})
    if not isinstance(extras, Mapping):
        yield Problem(lines.find("extras"), '"extras" must be a table')
        return
    for key, value in extras.items():
        if not isinstance(value, str):
            yield Problem(
                lines.find("extras", key), f"the option {quoted(key)} must be a text, in quotation marks"
            )


def _advise(config: AgentConfig, lines: _Lines) -> Iterator[Problem]:
    def advice(line: int | None, text: str) -> Problem:
        return Problem(line, text, is_error=False)

    service = config.service
    if not service.clients and not service.servers:
        yield advice(
            lines.find("service"),
            "no peers are known: use 'client add' here, or 'server add' with an invitation",
        )
    if service.proxy_header is not None and service.trusted_proxy is None:
        yield advice(
            lines.find("service", "proxy_header"),
            "proxy_header is ignored until trusted_proxy names the proxies that may set it",
        )
    for index, server in enumerate(service.servers):
        if server.url.startswith("ws://") and not _is_near(server.url):
            yield advice(
                lines.find("service", "servers", index=index),
                f"{quoted(server.name)} is called without TLS: contents are encrypted, names and sizes are not hidden; "
                "use wss:// behind a TLS front where that matters",
            )
    relayed = [
        (lines.find("service", "clients", index=index), each.name, each.proxy)
        for index, each in enumerate(service.clients)
    ]
    relayed += [
        (lines.find("service", "servers", index=index), each.name, each.proxy)
        for index, each in enumerate(service.servers)
    ]
    direct = {each.name for each in service.clients if each.proxy is None}
    direct |= {each.name for each in service.servers if each.proxy is None}
    for line, name, relay in relayed:
        if relay is not None and relay not in direct:
            yield advice(
                line,
                f"{quoted(name)} is reached through the relay {quoted(relay)}, which is neither a server nor a client here: "
                "the two will not be connected until the relay's invitation is added with 'server add'",
            )
    for key, value in config.extras.items():
        if looks_like_secret(value) and not value.startswith(PREFIX):
            yield advice(
                lines.find("extras", key),
                f"{quoted(key)} looks like a secret of format v0, whose key is quickly guessed; if no agent older "
                "than 0.90 reads it, run 'secret reencrypt --format v1'",
            )


def _is_near(url: str) -> bool:
    host = url.removeprefix("ws://").split("/")[0]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


# -- tools -----------------------------------------------------------------------------------------------------------


def _tried(line: int | None, read: Callable[..., object], *arguments: object) -> Iterator[Problem]:
    try:
        read(*arguments)
    except (ConfigError, ParseError) as error:
        yield Problem(line, _told(error))


def _told(error: Exception) -> str:
    return re.sub(r'^(?:The file)?(?:, service)?(?:, "[a-z_]+"(?: \d+)?)*: ', "", str(error)).lstrip(":, ")


def _unknown(
    table: Mapping[str, Any],
    known: tuple[str, ...],
    lines: _Lines,
    place: tuple[str, ...],
    index: int | None = None,
) -> Iterator[Problem]:
    for key in table:
        if key in known:
            continue
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        hint = f"; did you mean {close[0]}?" if close else ""
        if key == "healthcheck_port":
            hint = f"; on disk it is spelt {HEALTHCHECK_KEY}, without the first l, as existing agents do"
        where = "the root" if not place else "[" + ".".join(place) + "]"
        yield Problem(
            lines.find(*place, key, index=index),
            f"the key {quoted(key)} of {where} is not known and ignored{hint}",
            False,
        )


class _Lines:
    """On which line which key stands. TOML readers do not say, so this looks at headers and keys as people write them."""

    _HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
    _KEY: Final = re.compile(r"\s*([A-Za-z0-9_\-\"'. ]+?)\s*=")

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[tuple[str, ...], int | None], int] = {}
        table: tuple[str, ...] = ()
        counts: dict[tuple[str, ...], int] = {}
        index: int | None = None
        for number, line in enumerate(text.splitlines(), 1):
            if (header := self._HEADER.match(line)) is not None:
                table = self._names(header[2])
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                # A sub-table of an entry, such as [service.clients.ip], belongs to the entry above it.
                index = next(
                    (counts[table[:n]] for n in range(len(table), 0, -1) if table[:n] in counts), None
                )
                self._found.setdefault((table, index), number)
            elif (key := self._KEY.match(line)) is not None:
                self._found.setdefault(((*table, *self._names(key[1])), index), number)

    def find(self, *names: str, index: int | None = None) -> int | None:
        """Return the line of a key or table, or of the table around it, or None."""
        for length in range(len(names), 0, -1):
            line = self._found.get((names[:length], index), self._found.get((names[:length], None)))
            if line is not None:
                return line
        return None

    @staticmethod
    def _names(text: str) -> tuple[str, ...]:
        return tuple(part.strip().strip("\"'") for part in text.split("."))
