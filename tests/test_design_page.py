"""The places that docs/design.md names exist."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "design.md").read_text()
PLACES = sorted(set(re.findall(r"^\| \d+ \| `([\w.]+)` \|", PAGE, flags=re.MULTILINE)))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_on_the_journey_of_a_job_exists(place):
    assert resolve_name(place)


def test_the_journey_is_there():
    assert len(PLACES) >= 9
