"""Who may call from where."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from paddington.config.address import Addresses, Range, canonical, parse_address

addresses = st.ip_addresses()
networks = st.one_of(
    st.builds(
        lambda address, length: ip_network((address, length), strict=False),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, length: ip_network((address, length), strict=False),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
)


@given(addresses)
def test_an_address_survives_its_text(address):
    assert parse_address(str(address)) == canonical(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 10.0.0.1",
        "10.0.0.1\n",
        "127.1",
        "010.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "10.0.0.256",
        "10.0.0.1:80",
        "[::1]",
        "fe80::1%eth0",
        "::ffff:10.0.0.5%1",
        "localhost",
        "\uff11\uff10.0.0.1",
        "1" * 100_000,
    ],
)
def test_what_is_no_address_is_refused_with_its_text(text):
    with pytest.raises(ConfigError, match="is not an IPv4 or IPv6 address") as caught:
        parse_address(text)
    assert len(str(caught.value)) < 300


@given(networks, addresses)
def test_a_range_holds_what_the_standard_library_says(network, address):
    # Mapped IPv6 addresses are IPv4 here; the rest of the world is as ipaddress sees it.
    found = Range.parse(str(network))
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        return
    caller = canonical(address)
    assert (caller in found) == (caller.version == network.version and caller in network)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10/8", "10.0.0.0/8"),
        ("10.1/16", "10.1.0.0/16"),
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("0.0.0.0/0.0.0.0", "0.0.0.0/0"),
        ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
        ("192.168.1.1/32", "192.168.1.1/32"),
        ("127", "127.0.0.0/32"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_ranges_are_read_as_existing_services_read_them(text, network):
    found = Range.parse(text)
    assert found.network == ip_network(network)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/8",
        "10/",
        "10/33",
        "10/-1",
        "10/+8",
        "10/8/8",
        "10/0x8",
        "10/٨",
        "127.*.*.*",
        "10.0.0.0.0/8",
        "10.0.0.256/8",
        "010/8",
        "10.0.0.0/255.0.255.0",
        "10.0.0.0/0.0.0.255",
        "2001:db8::",
        "2001:db8::/129",
        "2001:db8::/ffff::",
        "fe80::%1/64",
        "abc/8",
        "1" * 100_000 + "/8",
    ],
)
def test_what_is_no_range_is_refused_with_its_text(text):
    with pytest.raises(ConfigError, match="is not a range of addresses"):
        Range.parse(text)


@pytest.mark.parametrize(
    ("caller", "allowed", "inside"),
    [
        # Security case R8: the low bits of an IPv6 address are no IPv4 address.
        ("2001:db8::7f00:1", "127.0.0.0/8", False),
        ("2001:db8::a00:5", "10.0.0.0/24", False),
        ("::ffff:10.0.0.5", "10.0.0.0/24", True),
        ("::10.0.0.5", "10.0.0.0/24", False),
        ("64:ff9b::a00:5", "10.0.0.0/24", False),
        ("2002:a00:5::", "10.0.0.0/24", False),
        ("10.0.0.5", "::/0", False),
        ("::ffff:10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "::ffff:10.0.0.5", True),
        ("10.0.0.5", "10.0.0.4, 10.0.0.5", True),
        ("10.0.0.5", "10.0.0.4,192.168/16", False),
    ],
)
def test_families_never_mix(caller, allowed, inside):
    assert (canonical(ip_address(caller)) in Addresses.parse(allowed)) is inside


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"IP": "10.0.0.7"}, {"IP": "10.0.0.7"}),
        ({"IP": "2001:db8:0::1"}, {"IP": "2001:db8::1"}),
        ({"Range": "10/8"}, {"Range": "10/8"}),
        ("10.0.0.7", {"IP": "10.0.0.7"}),
        ("10.1.0.0/16", {"Range": "10.1.0.0/16"}),
        ("10.0.0.7,10/8", {"List": ["10.0.0.7", "10/8"]}),
        ({"List": ["10.0.0.7", {"Range": "10/8"}]}, {"List": ["10.0.0.7", "10/8"]}),
        ({"List": [{"IP": "10.0.0.7"}]}, {"IP": "10.0.0.7"}),
    ],
)
def test_every_form_on_disk_is_read_and_the_oldest_that_can_say_it_is_written(value, written):
    found = Addresses.from_toml(value)
    assert found.to_toml() == written
    assert Addresses.from_toml(found.to_toml()) == found


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"IP": 5},
        {"ip": "10.0.0.7"},
        {"IP": "10/8"},
        {"IP": "10.0.0.7", "Range": "10/8"},
        {"List": []},
        {"List": [{"List": ["10.0.0.7"]}]},
        {"List": ["10.0.0.7"] * 1025},
        "",
        "10.0.0.7,",
        ",".join(["10.0.0.7"] * 1025),
        7,
        None,
        ["10.0.0.7"],
    ],
)
def test_other_forms_are_refused(value):
    with pytest.raises(ConfigError):
        Addresses.from_toml(value)


def test_an_address_with_a_scope_is_never_compared():
    with pytest.raises(ValueError, match="scope"):
        canonical(IPv6Address("fe80::1%eth0"))
    assert canonical(IPv4Address("10.0.0.1")) == IPv4Address("10.0.0.1")
