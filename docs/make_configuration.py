"""Writes docs/configuration.md from the code: every key of a configuration file and every limit, with its default.

Run it with `make reference`; tests/test_configuration_page.py compares the page with what this would write.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from paddington import ServiceConfig  # noqa: E402
from paddington.config.peer_config import ClientConfig, ServerConfig  # noqa: E402
from paddington.config.service_config import HEALTHCHECK_KEY  # noqa: E402
from paddington.limits import Limits as ServiceLimits  # noqa: E402
from templemeads import AgentConfig  # noqa: E402
from templemeads.agent_type import AgentType  # noqa: E402
from templemeads.config import ROLE_TABLES  # noqa: E402
from templemeads.limits import Limits  # noqa: E402

PAGE: Final = ROOT / "docs" / "configuration.md"

_ROOT_TEXTS: Final = {
    "agent": f"What the agent is: {', '.join(f'`{each}`' for each in AgentType)}. Required.",
    "store": "Where boards are stored: `sqlite:///path/to/file` (`sqlite:////` before an absolute path), `memory:`, or a "
    "PostgreSQL URL. By default a file beside the configuration.",
    "pair": "`true`: one of several processes with the same name, configuration and PostgreSQL store, of which one "
    "leads and the others wait to take over. See [Pairs](durability.md#pairs).",
    "handler": "The handler, as `package.module:name` or as `file.py:name` beside the configuration.",
    "control": "Path of the control socket, at most 100 bytes long. By default beside the configuration, or under "
    "`$RUNTIME_DIRECTORY`.",
    "service": "Name, address and peers; see below. Required.",
    "extras": "Options of the handler: plain text from `extra set`, encrypted secrets from `secret set`.",
    "limits": "What the agent takes on; see below.",
    "bridge": "Settings of the ready-made bridge.",
    "dashboard": "Settings of the bridge's dashboard.",
    "quota_engines": "Settings of the ready-made filesystem agent.",
    "user_volumes": "Settings of the ready-made filesystem agent.",
    "project_volumes": "Settings of the ready-made filesystem agent.",
}

_HEAD: Final = """\
# Configuration

An agent has one configuration file, in TOML, readable only by its owner because it holds keys. Commands write it: `init`,
`client`, `server`, `encryption`, `secret`, `extra`. They keep comments and order. `config show` prints it without keys, and
`config check` finds mistakes. Existing OpenPortal agents use the same file; they ignore the keys `store`, `pair`, `handler`,
`control` and `limits`, which are ours. Restart the agent to apply a change.

```toml
agent = "Instance"
store = "sqlite:////var/lib/templemeads/cluster/boards.db"
handler = "my_cluster.handlers:handlers"

[service]
name = "cluster"
url = "ws://cluster.example.org:6502/"
ip = "127.0.0.1"
port = 6502

[limits]
handlers = 20

[service.limits]
watchdog_seconds = 60
```

This page is written from the code by `make reference`.
"""


def documented(cls: type[Any]) -> dict[str, str]:
    """Return the texts of the *Attributes* section of a class's docstring, by name, with continuation lines joined."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if (start := re.match(r"    (\w+): (.*)", line)) and not line.startswith("     "):
            name = start[1]
            found[name] = start[2]
        elif name:
            found[name] += f" {line.strip()}"
    return found


def _cell(text: str) -> str:
    text = re.sub(r"`{2}([^`]+)`{2}", r"`\1`", text)
    text = re.sub(r" \(\*[\w-]+\*, section [^)]*\)| \(ours[^)]*\)|, or None\b", "", text)
    return (text[:1].upper() + text[1:]).replace("|", "\\|")


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return "none"
    if field.default is None:
        return "none"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, (int, float)):
        return f"{field.default:,g}" if field.default < 1e5 else f"{field.default:,.0f}"
    return f"`{field.default}`"


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headers)} |"
    yield f"|{'---|' * len(headers)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _fields(cls: type[Any], *left_out: str, names: dict[str, str] | None = None) -> Iterator[tuple[str, ...]]:
    texts = documented(cls)
    for field in attrs.fields(cls):
        if field.name not in left_out and not field.name.startswith("_"):
            name = (names or {}).get(field.name, field.name)
            yield f"`{name}`", _default(field), _cell(texts[field.name])


def page() -> str:
    """Return the text of the page."""
    lines = [_HEAD, "## The root", ""]
    texts = documented(AgentConfig) | _ROOT_TEXTS
    config = [field.name for field in attrs.fields(AgentConfig) if field.name not in {"agent_type", "tables"}]
    keys = dict.fromkeys(("agent", "service", *config, *ROLE_TABLES))
    lines += _table(("key", "meaning"), ((f"`{key}`", _cell(texts[key])) for key in keys))
    lines += ["## `[service]`", ""]
    service = _fields(ServiceConfig, "limits", "dense_framing", names={"healthcheck_port": HEALTHCHECK_KEY})
    lines += _table(("key", "default", "meaning"), service)
    lines += [f"`{HEALTHCHECK_KEY}` is spelt as existing agents spell it.", ""]
    lines += ["## `[[service.clients]]`: peers that call this agent", ""]
    lines += _table(("key", "default", "meaning"), _fields(ClientConfig))
    lines += ["## `[[service.servers]]`: peers that this agent calls", ""]
    lines += _table(("key", "default", "meaning"), _fields(ServerConfig))
    lines += ["## `[limits]`: what the agent takes on", ""]
    lines += _table(("limit", "default", "meaning"), _fields(Limits))
    lines += ["## `[service.limits]`: connections", ""]
    lines += _table(("limit", "default", "meaning"), _fields(ServiceLimits))
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
