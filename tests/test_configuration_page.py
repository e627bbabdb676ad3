"""The page of configuration keys and limits says what the code says."""

import importlib.util
import re
from pathlib import Path

import attrs
import pytest

from paddington.limits import Limits as ServiceLimits
from templemeads import config_check
from templemeads.limits import Limits

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_configuration", DOCS / "make_configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(generator):
    assert generator.PAGE.read_text() == generator.page(), "run: make reference"


def test_every_key_that_is_accepted_is_on_it(generator):
    listed = set(re.findall(r"^\| `(\w+)` \|", generator.page(), flags=re.MULTILINE))
    keys = {
        value
        for name in vars(config_check)
        if re.fullmatch(r"_[A-Z]+_KEYS", name)
        for value in getattr(config_check, name)
    }
    assert keys - listed == set()


@pytest.mark.parametrize("limits", [Limits, ServiceLimits], ids=["agent", "service"])
def test_every_limit_is_on_it_with_a_meaning(generator, limits):
    assert set(generator.documented(limits)) == {field.name for field in attrs.fields(limits)}
