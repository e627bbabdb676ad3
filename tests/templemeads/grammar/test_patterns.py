"""Templates, patterns of domains, membership control."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import DomainPattern, MembershipControl, ProjectTemplate, is_address_allowed
from templemeads.grammar.alphabetic import is_alphanumeric
from templemeads.grammar.patterns import check_address
from templemeads.testing.strategies import domain_patterns, domains


def test_every_letter_and_digit_may_stand_in_a_template() -> None:
    taken = {chr(code) for code in range(sys.maxunicode + 1) if is_alphanumeric(chr(code))}

    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category[0] in "LN":
            assert chr(code) in taken
        elif category[0] in "PZC" and category != "Cn":
            assert chr(code) not in taken
    assert {
        "\u0345",
        "\u0903",
        "\u24b6",
        "\U0001f130",
        "\U00016ea0",
    } <= taken  # marks, circled letters, newer scripts
    assert not {"\u0300", "\u200d", "\u2122", "$", "_"} & taken


@given(name=st.text(max_size=6))
def test_a_template_holds_letters_digits_and_two_signs(name: str) -> None:
    if name and all(character in "_-" or is_alphanumeric(character) for character in name):
        assert ProjectTemplate(name) == ProjectTemplate.parse(f"\t{name} ")
    else:
        with pytest.raises(ParseError):
            ProjectTemplate(name)


def test_an_error_knows_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        ProjectTemplate.parse(" cpu/cluster")

    assert caught.value.position == 4


@given(pattern=domain_patterns())
def test_a_pattern_matches_itself_in_any_case(pattern: DomainPattern) -> None:
    text = pattern.pattern.removeprefix("*.")
    sample = f"x.{text}" if pattern.pattern.startswith("*.") else text

    assert pattern.matches(sample) == pattern.matches(sample.upper()) == (not pattern.is_address)
    assert pattern.allows(sample if pattern.is_address else f"a@{sample}".upper())
    assert not pattern.matches(f"{sample}x")
    assert not pattern.allows(f"a@{sample}x")


@given(domain=domains())
def test_a_star_stands_for_one_or_more_labels(domain: str) -> None:
    pattern = DomainPattern(f"*.{domain}")

    assert pattern.matches(f"a.{domain}")
    assert pattern.matches(f"a.b.{domain}")
    assert not pattern.matches(domain)
    assert not pattern.matches(f"a{domain}")
    assert not pattern.is_address


@pytest.mark.parametrize(
    "text",
    [" a.b", "a.b\n", "*", "*.", "a.*", "**.a", "*a.b", "a@*.b", "*.a@b", "a..b", "-a", "a-", "", ".", "a_b"],
)
def test_other_patterns_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        DomainPattern.parse(text)


def test_who_may_join() -> None:
    patterns = [DomainPattern("*.ac.uk"), DomainPattern("example.com"), DomainPattern("Jane@Elsewhere.org")]

    assert is_address_allowed("x@bristol.ac.uk", patterns)
    assert is_address_allowed("x@EXAMPLE.com", patterns)
    assert is_address_allowed("jane@elsewhere.org", patterns)
    assert not is_address_allowed("joe@elsewhere.org", patterns)
    assert not is_address_allowed("x@ac.uk", patterns)
    assert not is_address_allowed("x@example.com.evil.org", patterns)


@pytest.mark.parametrize("address", ["example.com", "a@b@example.com", "", "@", "a@", "example.com@a"])
def test_what_is_no_address_is_not_allowed(address: str) -> None:
    assert not is_address_allowed(address, [DomainPattern("example.com"), DomainPattern("b@example.com")])


def test_no_list_allows_everybody_and_an_empty_one_nobody() -> None:
    assert is_address_allowed("x@y", None)
    assert not is_address_allowed("x@y", [])


def test_equality_of_patterns_goes_by_case() -> None:
    assert DomainPattern("A.b") != DomainPattern("a.b")


@pytest.mark.parametrize("text", ["jane", "@b", "a@", "a@b@c", "a b@c", "\u00e9@b"])
def test_members_have_addresses(text: str) -> None:
    with pytest.raises(ParseError):
        check_address(text)
    assert check_address("a%b+c@d") == "a%b+c@d"


def test_who_may_change_members() -> None:
    members = {control.value: control.can_change_members for control in MembershipControl}
    roles = {control.value: control.can_change_roles for control in MembershipControl}

    assert members == {"open": True, "members_only": True, "roles_only": False, "locked": False}
    assert roles == {"open": True, "members_only": False, "roles_only": True, "locked": False}


def test_a_misspelt_membership_control_is_corrected() -> None:
    with pytest.raises(ParseError) as caught:
        MembershipControl.parse("Members-Only")

    assert caught.value.suggestion == "members_only"
