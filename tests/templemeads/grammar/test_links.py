import pytest
from hypothesis import given

from templemeads.errors import ParseError
from templemeads.grammar import Link, Note, Timestamp
from templemeads.grammar.strictjson import parse_json
from templemeads.testing import near_misses
from templemeads.testing.strategies import links, notes


@given(links())
def test_a_link_survives_writing(link: Link) -> None:
    assert Link.parse(str(link)) == link
    assert Link.from_json(link.to_json()) == link
    assert hash(Link.parse(str(link))) == hash(link)


@given(notes())
def test_a_note_survives_writing(note: Note) -> None:
    assert Note.parse(str(note)) == note


@given(near_misses(Link))
def test_near_misses_of_links_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Link.parse(text)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://x",
            "HtTpS://EXAMPLE.org/A",
            "https://user:p%40w@example.org:8080/a b?c#d",
            "https://a@b@host",
        ),
        *("https://x:", "https://x:0", "https://x:065535", "https://[::1]:80", "https://[::ffff:1.2.3.4]/"),
        *("https://1.2.3", "https://0x7f.1", "https://1.256", "https://x.0xg", "https://1.x", "https://a..b"),
        *(
            "https://-a-",
            "https://a_b",
            "https://ex%41mple",
            "https://é.org",
            "https://😀.org",
            "https://ß.de",
        ),
        *(
            "https://xn--e1afmkfd",
            "https://a\u3002b",
            "https://a?b@c",
            "https://host\\p",
            "https://x/\t\x00é",
        ),
        "https://" + "a." * 500 + "org",
    ],
)
def test_what_browsers_take_for_an_address_is_kept_as_it_is(url: str) -> None:
    assert Link(url=url).url == url
    assert Link(url=f" \u3000{url}\n").url == url


@pytest.mark.parametrize(
    "url",
    [
        *("x", "/a", "//example.org", "ftp://x.org", "javascript:alert(1)", "javascript://x.org/%0aalert(1)"),
        *("https://", "https:", "https:///", "https://u@", "https://:80", "https://x:65536", "https://x:8a"),
        *("https://x:80:80", "https://x y", "https://x\x00", "https://a\x7f", "https://a<b", "https://a|b"),
        *(
            "https://1.2.3.256",
            "https://1.2.3.4.5",
            "https://08",
            "https://x.1",
            "https://x.0x",
            "https://x.²",
        ),
        *(
            "https://%00",
            "https://%zz",
            "https://a%20b",
            "https://\u200d",
            "https://\u202ea",
            "https://\u0300a",
        ),
        *(
            "https://xn--a",
            "https://xn--",
            "https://\u00ad",
            "https://a\uff0fb",
            "https://א1a",
            "https://\ufffd",
        ),
        *("https://[::1", "https://[::1]x", "https://[::1%eth0]", "https://[g::]", "https://[]"),
        *("https://x:" + "9" * 10_000, "https://" + "9" * 10_000, "https://" + "é" * 10_000),
    ],
)
def test_other_texts_are_no_addresses(url: str) -> None:
    with pytest.raises(ParseError):
        Link(url=url)


@pytest.mark.parametrize(
    "url", ["http:host", "http:/host", "http:///host", "http:\\\\host", "ht\ttp://x", "http://x\ny/"]
)
def test_the_slack_of_browsers_is_refused(url: str) -> None:
    with pytest.raises(ParseError):
        Link(url=url)


def test_an_empty_address_is_none() -> None:
    assert Link(url="") == Link(url=" \t") == Link()
    assert Link().is_empty
    assert not Link(id="").is_empty


@pytest.mark.parametrize("fields", [{"id": 5}, {"url": b"https://x"}, {"id": True}])
def test_a_link_of_other_things_than_text_cannot_be_made(fields: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"Link\."):
        Link(**fields)  # type: ignore[arg-type]


def test_text_that_utf_8_cannot_carry_is_refused_however_it_comes() -> None:
    with pytest.raises(ParseError):
        Link(id="\ud800")
    with pytest.raises(ParseError):
        Link.from_json(parse_json('{"id":"\\ud800"}'))
    assert Link.from_json(parse_json('{"more":"\\ud800"}')) == Link()


def test_an_error_names_the_field() -> None:
    with pytest.raises(ParseError, match='"url"'):
        Link.parse('{"url": "ftp://x.org"}')


def test_a_note_prints_for_people() -> None:
    note = Note(Timestamp.parse("2024-01-15T10:30:59.5+01:00"), "Jane", "Approved.")
    assert note.describe() == "[2024-01-15 09:30 UTC — Jane] Approved."


def test_notes_are_ordered_by_time() -> None:
    early, late = (Note(Timestamp(second), author, "") for second, author in ((1, "Z"), (2, "A")))
    assert sorted([late, early]) == [early, late]


def test_links_and_notes_can_be_matched() -> None:
    match Note(Timestamp(0), "Jane", "Hello"):
        case Note(Timestamp(0), author, text=text):
            assert (author, text) == ("Jane", "Hello")
        case _:
            pytest.fail("no match")
