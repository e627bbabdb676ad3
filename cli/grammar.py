"""The commands that explain the grammar: `templemeads grammar` and `templemeads parse`."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from templemeads.errors import ParseError
from templemeads.grammar import (
    Command,
    Instruction,
    Notification,
    check_portal,
    find_instruction,
    instructions,
)
from templemeads.grammar.explain import as_data, explain, markdown, overview
from templemeads.grammar.kinds import KINDS, guess_kind
from templemeads.grammar.table import MAX_LENGTH
from templemeads.text import pointed, visible


class Unreadable(click.ClickException):
    """A text that the grammar refuses, shown with a caret at the place."""

    exit_code = 2

    def __init__(self, error: ParseError) -> None:
        super().__init__(error.message)
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the lines."""
        error = self.error
        _say(f"Error: {error.message}", err=True)
        if error.position is not None and error.text:
            for line in pointed(error.text, error.position):
                click.echo(f"  {_printable(line, err=True)}", err=True)
        if error.suggestion is not None:
            _say(f"Did you mean {error.suggestion}?", err=True)
        if error.expected:
            _say(f"Expected: {error.expected}", err=True)


def _printable(text: str, *, err: bool = False) -> str:
    """Replace what the terminal's encoding cannot write, so that printing never fails."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "ascii"  # closed: None
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _say(text: str, *, err: bool = False) -> None:
    click.echo(_printable(visible(text), err=err), err=err)


@click.command()
@click.argument("keyword", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the documentation page.")
def grammar(keyword: str | None, *, as_json: bool, as_markdown: bool) -> None:
    """List the instructions that agents understand, or explain one of them.

    Examples:
      templemeads grammar
      templemeads grammar add_user
    """
    try:
        rows = instructions() if keyword is None else (find_instruction(keyword),)
    except ParseError as error:
        raise Unreadable(error) from None
    if as_json:
        data = [as_data(row) for row in rows]
        click.echo(json.dumps(data if keyword is None else data[0], indent=2))
    elif as_markdown:
        click.echo(_printable(markdown()), nl=False)
    else:
        for line in overview() if keyword is None else explain(rows[0]):
            _say(line)


@click.command()
@click.argument("text")
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="What the text is; guessed by default.")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
def parse(text: str, *, kind: str | None, as_json: bool) -> None:
    """Show how a text is understood: a command, instruction, notification, identifier, size, …

    If TEXT is -, it is read from standard input.

    Examples:
      templemeads parse 'waldur.brics.notebook add_user fred.proj.waldur'
      templemeads parse --kind storage-size '1.5 GB'
    """
    if text == "-":
        stdin = sys.stdin.buffer.read(MAX_LENGTH * 4 + 1)
        text = stdin.decode("utf-8", "surrogateescape").removesuffix("\n")
    try:
        meanings = _meanings(text, kind)
    except ParseError as error:
        if as_json:
            click.echo(json.dumps({"error": _error_data(error)}, indent=2))
        raise Unreadable(error) from None
    name, value = meanings[0]
    others = [other for other, _ in meanings[1:]]
    if as_json:
        click.echo(json.dumps({"kind": name, **_data(value), "also": others}, indent=2))
        return
    facts = _facts(value)
    width = max(len("canonical"), *(len(fact) for fact, _ in facts)) if facts else len("canonical")
    _say(name)
    for fact, meaning in (*facts, ("canonical", str(value))):
        _say(f"  {fact:{width}}  {meaning}")
    if others:
        _say(f"It could also be: {', '.join(others)}.")


def _meanings(text: str, kind: str | None) -> list[tuple[str, Any]]:
    """Read a text as the kind given, or as every kind that accepts it, the likeliest first."""
    guess, sure = (kind, True) if kind is not None else guess_kind(text)
    meanings: list[tuple[str, Any]] = []
    refusal: ParseError | None = None
    for name in (guess, *(name for name in KINDS if name != guess and kind is None)):
        try:
            meanings.append((name, KINDS[name](text, None)))
        except ParseError as error:
            if name == guess:
                refusal = error
                if sure:
                    break  # what looks like a command was meant as one, even where a lax kind would take it
    if refusal is not None and not meanings:
        raise refusal
    return meanings


def _facts(value: object) -> list[tuple[str, str]]:
    match value:
        case Command(destination, instruction):
            return [("destination", str(destination)), *_facts(instruction), _rule(value)]
        case Instruction():
            arguments = zip(value.parameters, value.arguments(), strict=True)
            return [
                ("instruction", value.keyword),
                *((f"  {parameter.name}", text) for parameter, text in arguments),
                ("meaning", type(value).__doc__ or ""),
                ("result", value.result_type()),
            ]
        case Notification():
            return [("destination", str(value.destination)), ("event", str(value.event))]
        case _:
            return [("json", json.dumps(_json(value), ensure_ascii=False))]


def _rule(command: Command) -> tuple[str, str]:
    try:
        check_portal(command.destination, command.instruction)
    except ParseError as error:
        return "portal rule", f"refused from outside: {error.message}"
    portal = command.instruction.owning_portal()
    return "portal rule", "asks nothing of it" if portal is None else f"kept: {portal} asks about its own"


def _json(value: Any) -> Any:
    return value.to_json() if hasattr(value, "to_json") else str(value)


def _data(value: Any) -> dict[str, Any]:
    """Return the meaning of a value as JSON data."""
    data: dict[str, Any] = {"canonical": str(value), "json": _json(value)}
    match value:
        case Command(destination, instruction):
            portal_rule = _rule(value)[1].partition(":")[0]
            data |= {"destination": list(destination), "portal_rule": portal_rule}
            data["instruction"] = _data(instruction)
        case Instruction():
            data["keyword"] = value.keyword
            data["arguments"] = {each.name: _json(getattr(value, each.name)) for each in value.parameters}
            data["result"] = value.result_type()
            data["portal"] = value.owning_portal()
        case _:
            pass
    return data


def _error_data(error: ParseError) -> dict[str, Any]:
    return {
        "message": error.message,
        "position": error.position,
        "expected": error.expected,
        "suggestion": error.suggestion,
    }
