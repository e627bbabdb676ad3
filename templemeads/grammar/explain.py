"""Descriptions of the instructions for people: as lines for a terminal, as a page of documentation.

All facts come from the table and the glossary.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from .glossary import GLOSSARY, Entry
from .reading import Argument, Cut
from .table import Instruction, Nobody, instructions

if TYPE_CHECKING:
    from collections.abc import Iterable

_CUTS = {
    Cut.REST: "Everything after the first space is the argument.",
    Cut.WORDS: "Each argument is one word; extra words are ignored.",
    Cut.WORDS_THEN_REST: "Each argument is one word; the last one is all the remaining text.",
    Cut.NONE: "It has no arguments; any further text is ignored.",
}


def _entry(parameter: Argument) -> Entry:
    return GLOSSARY[parameter.kind]


def form(row: type[Instruction]) -> str:
    """Return the syntax of an instruction, such as `add_user <user>`; optional arguments are in brackets."""
    arguments = (
        f"[{parameter.name}]" if parameter.default is not None else f"<{parameter.name}>"
        for parameter in row.parameters
    )
    return " ".join((row.keyword, *arguments))


def example(row: type[Instruction]) -> str:
    """Return an example that parses."""
    return " ".join((row.keyword, *(_entry(parameter).example for parameter in row.parameters)))


def portal_rule(row: type[Instruction]) -> str:
    """Explain in a sentence how the portal rule applies to an instruction."""
    if isinstance(row.owner, Nobody):
        return "It names no portal, project or user, so the portal rule does not apply."
    return f"The portal of its {row.owner} must be the first agent of the path."


def result(row: type[Instruction]) -> str:
    """Return the name of an instruction's result type."""
    return row.result or "that of the instruction inside"


def explain(row: type[Instruction]) -> list[str]:
    """Explain one instruction; return the lines."""
    lines = [form(row), f"  {row.__doc__}", ""]
    names = [f"{parameter.name} ({_entry(parameter).name})" for parameter in row.parameters]
    width = max(map(len, names), default=0)
    for parameter, name in zip(row.parameters, names, strict=True):
        default = f" If it is left out: {parameter.default}." if parameter.default is not None else ""
        lines.append(f"  {name:{width}}  {_entry(parameter).rule}{default}")
    if names:
        lines.append("")
    facts = {
        "example": example(row),
        "result": result(row),
        "reading": _CUTS[row.cut],
        "portal rule": portal_rule(row),
    }
    if row.synonyms:
        facts["also read as"] = ", ".join(row.synonyms)
    if row.new:
        facts["since"] = "the newer generation of agents; older ones do not know it"
    facts["class"] = f"templemeads.grammar.{row.__name__}"
    return [*lines, *(f"  {name:12}  {value}" for name, value in facts.items())]


def overview() -> list[str]:
    """Return the lines of the whole table."""
    rows = [(row.family(), form(row), result(row)) for row in instructions()]
    width = max(len(text) for _, text, _ in rows)
    lines = []
    for family, group in itertools.groupby(rows, key=lambda row: row[0]):
        lines += ["", family]
        lines += [f"  {text:{width}}  {name}" for _, text, name in group]
    return lines[1:]


def as_data(row: type[Instruction]) -> dict[str, Any]:
    """Return a row of the table as JSON data."""
    return {
        "keyword": row.keyword,
        "synonyms": list(row.synonyms),
        "family": row.family(),
        "meaning": row.__doc__,
        "arguments": [
            {"name": each.name, "type": _entry(each).name, "default": each.default} for each in row.parameters
        ],
        "reading": row.cut.value,
        "result": row.result,
        "owner": None if isinstance(row.owner, Nobody) else row.owner,
        "new": row.new,
        "class": row.__name__,
    }


_HEAD = """\
# The instructions

`templemeads grammar --markdown` generates this page from the table of instructions. `templemeads grammar
add_user` explains one instruction, `templemeads parse 'add_user fred.proj.waldur'` shows what a line means.

An instruction is a keyword and its arguments, each after one space. A command is a path of agents and an
instruction: `waldur.brics.notebook add_user fred.proj.waldur`.

In Python there is one class for each instruction, with its arguments as fields:

```python
from templemeads.grammar import AddUser, Instruction

match Instruction.parse("add_user fred.proj.waldur"):
    case AddUser(user):
        print(user.username, user.project_identifier)
```

*Rule*: ● marks instructions to which the portal rule applies: when a command comes from outside the
network, the portal of its first argument must be the first agent of the path. *New*: ◦ marks instructions that
older agents do not know. *Read*: how the text is split into arguments.
"""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(head), line(("---",) * len(head)), *map(line, rows)]


def _markdown_row(row: type[Instruction]) -> tuple[str, ...]:
    arguments = ", ".join(
        _entry(each).name if each.default is None else f"{_entry(each).name} = `{each.default}`"
        for each in row.parameters
    )
    synonyms = f" ({', '.join(f'`{word}`' for word in row.synonyms)})" if row.synonyms else ""
    return (
        f"`{row.keyword}`{synonyms}",
        arguments or "none",
        row.cut.value,
        f"`{row.result}`" if row.result else result(row),
        "" if isinstance(row.owner, Nobody) else "●",
        "◦" if row.new else "",
        row.__doc__ or "",
    )


def markdown() -> str:
    """Return the page of documentation."""
    lines = [*_HEAD.splitlines()]
    head = ("instruction", "arguments", "read", "result", "rule", "new", "meaning")
    for family, group in itertools.groupby(instructions(), key=lambda row: row.family()):
        lines += ["", f"## {family}", "", *_table(head, map(_markdown_row, group))]
    entries = (
        (entry.name, f"`{entry.form}`", entry.rule, f"`{entry.example}`") for entry in GLOSSARY.values()
    )
    lines += ["", "## Arguments", "", *_table(("type", "form", "rule", "example"), entries)]
    return "\n".join(lines) + "\n"
