"""The errors of templemeads.

TemplemeadsError
├── ParseError (also a ValueError)      a text that the grammar refuses: fix the text
├── StateError                          a step that a job in this state cannot take: fix the call
├── JobError                            the job ended without a value: read the message, perhaps try again
│   └── UnknownInstruction              the agent has no handler for this instruction
├── RefusedError                        an agent will not take this job: its message says which limit or rule
├── PeerNotFoundError                   nobody of that name, or of that type, is there
├── PeerRefusedError                    the peer is there and hangs up on us: check keys and addresses
├── AgentStoppedError                   the agent that was asked has stopped
└── StoreError                          the store cannot keep what it is given: the agent must stop
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .text import quoted

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_MISSPELT_CHARACTERS: Final = 40
"""Characters of a word for which others are suggested at most: comparing is not linear."""


class TemplemeadsError(Exception):
    """Root of every error raised by templemeads."""


class ParseError(TemplemeadsError, ValueError):
    """A text that the grammar refuses.

    `str()` of it is the message with the place and the suggestion, on one line and of bounded length.

    Attributes:
        message: What is wrong, without the place.
        text: The offending text, whole.
        position: Index of the character where reading stopped (`len(text)` for its end), or None where no
            single place is to blame.
        expected: What would have been accepted there, in words.
        misspelt: The word that is none of `known`, or an empty text.
        known: The words that it could have been.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        position: int | None = None,
        expected: str = "",
        misspelt: str = "",
        known: Collection[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.position = position
        self.expected = expected
        self.misspelt = misspelt
        self.known = known

    @property
    def suggestion(self) -> str | None:
        """A word that was perhaps meant, or None.

        Looked for when it is asked for: comparing costs a hundred times what refusing does, and whoever sends
        nonsense should not be able to make an agent do it.
        """
        if not self.misspelt or len(self.misspelt) > MAX_MISSPELT_CHARACTERS:
            return None
        import difflib

        near = difflib.get_close_matches(self.misspelt, self.known, n=1, cutoff=0.7)
        return near[0] if near else None

    def inside(self, text: str, offset: int) -> ParseError:
        """Give the same error as seen from a longer text.

        Args:
            text: The text that was being read when a part of it was refused.
            offset: Index in `text` at which that part begins.
        """
        return ParseError(
            self.message,
            text=text,
            position=offset + (self.position or 0),
            expected=self.expected,
            misspelt=self.misspelt,
            known=self.known,
        )

    def __str__(self) -> str:
        """The message, the place, the suggestion."""
        line = self.message
        if self.position is not None:
            place = "at the end" if self.position >= len(self.text) else f"at character {self.position + 1}"
            line += (
                f", {place} of {quoted(self.text, around=self.position)}"
                if self.text
                else " (the text is empty)"
            )
        if (suggestion := self.suggestion) is not None:
            line += f"; did you mean {quoted(suggestion)}?"
        return line


class StateError(TemplemeadsError):
    """A step that a job in this state cannot take."""


class JobError(TemplemeadsError):
    """A job ended without a value, or a handler wants it to.

    Attributes:
        kind: One of the kinds of the protocol: `expired`, `unroutable`, `unsupported`, `invalid`,
            `run`, `unknown`, or a word of the domain such as `award_pending`.
        origin: Name of the agent that made the error, where it is known.
    """

    def __init__(self, message: str, *, kind: str = "run", origin: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.origin = origin


class UnknownInstruction(JobError):  # noqa: N818 - the public name is fixed
    """The agent that the job was sent to does not know the instruction."""

    def __init__(self, instruction: object) -> None:
        super().__init__(f"Unknown instruction: {instruction}", kind="unsupported")
        self.instruction = instruction


class RefusedError(TemplemeadsError):
    """A job is not taken: a limit is reached, or a rule forbids it."""


class PeerNotFoundError(TemplemeadsError):
    """No such peer is known here."""


class PeerRefusedError(TemplemeadsError):
    """A peer answers and hangs up on our handshake, again and again."""


class AgentStoppedError(TemplemeadsError):
    """The agent that was asked has stopped, and with it the waiting."""


class StoreError(TemplemeadsError):
    """The store cannot keep what it is given, or cannot be opened."""
