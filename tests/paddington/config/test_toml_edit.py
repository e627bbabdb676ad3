"""Editing TOML: every layout is either edited exactly or refused, and comments stay."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from paddington.config.toml_edit import edited_toml, format_toml

WHOLE = {"ip", "encryption"}
NAMES = ("a", "b", "c", "d")


def entry(name, *, ip="10.0.0.1", key="00"):
    return {"name": name, "zone": "default", "ip": {"IP": ip}, "inner_key": {"data": key}}


@st.composite
def layouts(draw):
    """A configuration with up to three clients, in one of the many ways that TOML has to write it."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, 3))]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    comment = draw(st.sampled_from(["", "  # a comment"]))
    extras = ["[extras]", f'site = "north"{comment}', 'quoted."dotted key" = 1', ""]
    others = [["[unknown]", "when = 1979-05-27T07:32:00Z", "numbers = [1, 2.5, inf, nan]", ""], extras]
    spelling = draw(st.sampled_from(["tables", "dotted", "inline-service", "inline-clients", "header-only"]))
    inline = ", ".join(
        f'{{name = "{n}", zone = "default", ip = {{IP = "10.0.0.1"}}, inner_key = {{data = "00"}}}}'
        for n in names
    )
    scalars = [("name", '"x"'), ("port", "8042")]
    if spelling == "inline-service":
        lines = [
            'agent = "Portal"',
            f'service = {{name = "x", port = 8042, servers = [], clients = [{inline}]}}',
        ]
        blocks = others
    elif spelling == "dotted":
        lines = ['agent = "Portal"']
        lines += [f"service.{key} = {value}{comment}" for key, value in scalars]
        lines += ["service.servers = []", f"service.clients = [{inline}]"]
        blocks = others
    elif spelling == "inline-clients":
        lines = [f'agent = "Portal"{comment}', "[service]"]
        lines += [f"{key} = {value}" for key, value in scalars]
        lines += ["servers = []", f"clients = [{inline}]", ""]
        blocks = others
    else:
        lines = ['agent = "Portal"', ""]
        clients = []
        for name in names:
            style = draw(st.sampled_from(["nested", "dotted", "inline"]))
            head = ["[[service.clients]]" + comment, f'name = "{name}"']
            if draw(st.booleans()):
                head.append('zone = "default"')
            if style == "nested":
                head += [
                    "[service.clients.ip]",
                    'IP = "10.0.0.1"',
                    "[service.clients.inner_key]",
                    'data = "00"',
                    "",
                ]
            elif style == "dotted":
                head += ['ip.IP = "10.0.0.1"', 'inner_key.data = "00"', ""]
            else:
                head += ['ip = {IP = "10.0.0.1"}', f'inner_key = {{data = "00"}}{comment}', ""]
            clients.append(head)
        service = ["[service]", *[f"{key} = {value}{comment}" for key, value in scalars]]
        if not names:
            service.append("clients = []")
        service += ["servers = []", ""]
        # Sub-tables may stand before their parent, and other tables between the entries of an array.
        blocks = [*clients]
        for block in [service, *others]:
            blocks.insert(draw(st.integers(0, len(blocks))), block)
    text = newline.join([*lines, *(line for block in blocks for line in block)])
    return text if draw(st.booleans()) else text + newline


@st.composite
def edits(draw):
    clients = [
        entry(
            name, ip=draw(st.sampled_from(["10.0.0.1", "10.0.0.2"])), key=draw(st.sampled_from(["00", "11"]))
        )
        for name in draw(st.permutations(NAMES))[: draw(st.integers(0, 4))]
    ]
    servers = [{"name": "s", "url": "ws://h:1/"}] if draw(st.booleans()) else []
    service = {
        "name": "x",
        "port": draw(st.sampled_from([8042, 9000])),
        "servers": servers,
        "clients": clients,
    }
    if draw(st.booleans()):
        service["encryption"] = draw(st.sampled_from([None, {"Simple": {}}, {"Environment": {"key": "PW"}}]))
    extras = draw(st.sampled_from([{"site": "north"}, {"site": "south", "more": "x"}, {"new key": "1"}]))
    return {"agent": "Portal", "service": service, "extras": extras}


def by_name(entries):
    return sorted(entries, key=lambda each: each["name"])


@given(layouts(), edits())
def test_an_edit_is_in_the_file_afterwards_or_is_refused(text, values):
    before = tomllib.loads(text)
    try:
        edited = edited_toml(text, values, "x.toml", whole=WHOLE)
    except ConfigError as error:
        assert "#" in text, "a file without comments can always be laid out anew"
        assert "nothing was changed" in str(error)
        return
    after = tomllib.loads(edited)
    assert by_name(after["service"]["clients"]) == by_name(values["service"]["clients"])
    assert after["service"]["servers"] == values["service"]["servers"]
    assert after["service"]["port"] == values["service"]["port"]
    assert after["service"].get("encryption") == values["service"].get("encryption")
    assert after["extras"] == before["extras"] | values["extras"]
    assert repr(after.get("unknown")) == repr(before.get("unknown"))
    if text.count("#") and len(values["service"]["clients"]) >= 3:
        assert "#" in edited


@given(layouts())
def test_an_edit_that_changes_nothing_leaves_the_text_alone(text):
    values = {"agent": "Portal", "service": {"name": "x"}, "extras": {"site": "north"}}
    assert edited_toml(text, values, "x.toml", whole=WHOLE) == text


@given(edits(), edits())
def test_files_that_we_wrote_are_edited_with_their_comments(first, second):
    text = "# at the top\n" + format_toml(first) + "\n# at the end\n"
    edited = edited_toml(text, second, "x.toml", whole=WHOLE)
    assert edited.startswith("# at the top\n")
    after = tomllib.loads(edited)
    assert by_name(after["service"]["clients"]) == by_name(second["service"]["clients"])


def test_an_entry_keeps_its_comments_and_unknown_keys_when_another_one_joins():
    text = (
        'agent = "Portal"\n[service]\nname = "x"\nservers = []\n\n'
        '[[service.clients]]  # in the cellar\nname = "a"\nnote = "ask Ann"\n'
        'ip = {IP = "10.0.0.1"}\ninner_key = {data = "00"}\n'
    )
    values = {"service": {"clients": [entry("a", key="11"), entry("b")]}}
    edited = edited_toml(text, values, "x.toml", whole=WHOLE)
    after = tomllib.loads(edited)["service"]["clients"]
    assert [each["name"] for each in after] == ["a", "b"]
    assert after[0]["note"] == "ask Ann"
    assert after[0]["inner_key"] == {"data": "11"}
    assert "# in the cellar" in edited


@pytest.mark.parametrize("text", ["a = ", "[a]\n[a]\n", "a.b = 1\na = 2\n", "[[a]]\n[a]\n"])
def test_text_that_is_not_toml_is_refused_with_its_source(text):
    with pytest.raises(ConfigError, match=r"x\.toml is not valid TOML"):
        edited_toml(text, {"b": 1}, "x.toml")
