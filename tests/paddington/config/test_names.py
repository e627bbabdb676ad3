"""Names of services and zones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from paddington.config.names import NAME_BYTES, ZONE_BYTES, check_name, check_zone


@pytest.mark.parametrize("name", ["portal", "a", "Cluster_2-b", "größe", "门户", "٣", "x" * NAME_BYTES])
def test_letters_and_digits_of_any_script_make_a_name(name):
    assert check_name(name) == name
    assert check_zone(name) == name
    assert check_name(f"  {name}\n") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a.b",
        "a/b",
        "a\\b",
        "..",
        "a\x00b",
        "a@b",
        "a\u202eb",
        "a\u200db",
        "x" * (NAME_BYTES + 1),
        "é" * 33,
    ],
)
def test_anything_else_is_refused_with_its_text(name):
    with pytest.raises(ConfigError, match="The name") as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_zone_may_point_from_portal_to_portal():
    assert check_zone("remote>local") == "remote>local"
    assert check_zone("x" * 64 + ">" + "y" * 64) == "x" * 64 + ">" + "y" * 64
    with pytest.raises(ConfigError, match="The name"):
        check_name("remote>local")
    with pytest.raises(ConfigError, match="longer than"):
        check_zone("x" * (ZONE_BYTES + 1))


@given(st.text())
def test_a_name_that_passes_is_safe_as_part_of_a_file_name(text):
    try:
        name = check_name(text)
    except ConfigError:
        return
    assert name.isprintable()
    assert not set(name) & set("/\\.:\0 ")
    assert name.encode()
