"""Whether the text of a command fits into one frame, whoever the peer is. The arithmetic is paddington's."""

from __future__ import annotations

from paddington import Limits, always_fitting_characters, fits


def surely_fits(limits: Limits) -> int:
    """Return how many characters the texts of a job may have together so that nothing need be counted."""
    return always_fitting_characters(limits)


def fits_every_frame(text: str, *, limits: Limits) -> bool:
    """Tell whether a command's text fits into a frame that any peer takes."""
    return fits(text, limits)
