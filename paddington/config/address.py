"""Addresses and ranges that peers may call from (protocol pages *configuration* 1.4 and *newer-protocol* 7).

Families never mix: an IPv4 range holds IPv4 addresses only. The one exception is an IPv4-mapped IPv6 address,
which is an IPv4 address in disguise and is turned into one before anything is compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Self, TypeAlias

import attrs

from ..errors import ConfigError
from ..text import quoted

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

MAX_RANGE_CHARACTERS = 64
"""Longest text of one address or range; the longest that parses has 43 characters."""

MAX_ADDRESSES = 1024
"""Most addresses and ranges in one list."""

_HOW = 'Write one like "10.0.0.7", "10.1.0.0/16" or "2001:db8::/32"'
_OCTETS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}")
_DIGITS = re.compile(r"[0-9]{1,3}")


def parse_address(text: str) -> IPAddress:
    """One IPv4 or IPv6 address in its ordinary spelling; the IPv4-mapped form becomes IPv4.

    Raises:
        ConfigError: The text is not an address, is incomplete, has leading zeros, a scope, a port or brackets.
    """
    if len(text) <= MAX_RANGE_CHARACTERS and text.isascii():
        try:
            return IPv4Address(text)
        except ValueError:
            pass
        try:
            return canonical(IPv6Address(text))
        except ValueError:
            pass
    raise ConfigError(f"{quoted(text)} is not an IPv4 or IPv6 address. {_HOW}")


def canonical(address: IPAddress) -> IPAddress:
    """The address that is compared: IPv4 for an IPv4-mapped IPv6 address, otherwise itself.

    Raises:
        ValueError: The address has a scope, which means something on one host only.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a scope is valid only on its own host")
        return address.ipv4_mapped or address
    return address


@attrs.frozen
class Range:
    """A range of addresses.

    Attributes:
        text: As it was typed, which is how files store it.
        network: What it means, host bits masked away.
    """

    text: str
    network: IPNetwork

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `a.b.c.d/n` (octets may be left out from the right), `a.b.c.d/m.m.m.m` or an IPv6 prefix.

        One to four octets without a slash are accepted too, as 32 bits: existing files may have them.

        Raises:
            ConfigError: The text is not a range, or its mask has holes.
        """
        if len(text) > MAX_RANGE_CHARACTERS or not text.isascii():
            raise ConfigError(f"{quoted(text)} is not a range of addresses. {_HOW}")
        base, slash, mask = text.partition("/")
        try:
            if ":" in base:
                if not _DIGITS.fullmatch(mask) or "%" in base:
                    raise ValueError(mask)
                return cls(text, _canonical_network(IPv6Network((base, int(mask)), strict=False)))
            if not _OCTETS.fullmatch(base) or (slash and not mask):
                raise ValueError(base)
            padded = base + ".0" * (3 - base.count("."))
            length: int | str = _prefix_of_mask(mask) if "." in mask else int(mask) if slash else 32
            if slash and "." not in mask and not _DIGITS.fullmatch(mask):
                raise ValueError(mask)
            return cls(text, IPv4Network((padded, length), strict=False))
        except ValueError:
            raise ConfigError(f"{quoted(text)} is not a range of addresses. {_HOW}") from None

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.network.version and address in self.network

    def __str__(self) -> str:
        return self.text


@attrs.frozen
class Addresses:
    """One or more addresses and ranges, in the order in which they were written.

    Attributes:
        items: At least one of them.
    """

    items: tuple[IPAddress | Range, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one address, one range, or several between commas.

        Raises:
            ConfigError: One of them is not valid, or there are none or too many.
        """
        return cls._of([_parse_item(part.strip()) for part in _bounded(text.split(","))])

    @classmethod
    def from_toml(cls, value: object) -> Self:
        """Read the forms that files have: a text, `{IP = text}`, `{Range = text}`, `{List = [...]}`.

        Raises:
            ConfigError: The value has none of these forms.
        """
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, Mapping) and len(value) == 1:
            match next(iter(value.items())):
                case ("IP", str(text)):
                    return cls((parse_address(text),))
                case ("Range", str(text)):
                    return cls((Range.parse(text),))
                case ("List", list(parts)):
                    return cls._of([item for part in _bounded(parts) for item in cls._from_listed(part)])
                case _:
                    pass
        raise ConfigError(
            'Addresses are written {IP = "10.0.0.7"}, {Range = "10.1.0.0/16"} or {List = ["...", "..."]}'
        )

    @classmethod
    def _from_listed(cls, part: object) -> tuple[IPAddress | Range, ...]:
        if isinstance(part, Mapping) and "List" in part:
            raise ConfigError("A list of addresses does not hold another list")
        return cls.from_toml(part).items

    @classmethod
    def _of(cls, items: list[IPAddress | Range]) -> Self:
        if not items:
            raise ConfigError(f"There is no address in the list. {_HOW}")
        return cls(tuple(items))

    def to_toml(self) -> dict[str, Any]:  # Any: a TOML table
        """The form for a file: one that existing services read, if possible."""
        match self.items:
            case (Range(text=text),):
                return {"Range": text}
            case (address,):
                return {"IP": str(address)}
            case _:
                return {"List": [str(item) for item in self.items]}

    def __contains__(self, address: IPAddress) -> bool:
        """Whether callers from this address match; it must be canonical (see `canonical`)."""
        return any(address in item if isinstance(item, Range) else address == item for item in self.items)

    def __str__(self) -> str:
        return ",".join(str(item) for item in self.items)


def _parse_item(text: str) -> IPAddress | Range:
    return Range.parse(text) if "/" in text else parse_address(text)


def _bounded(parts: list[Any]) -> list[Any]:  # Any: what a TOML array holds
    if len(parts) > MAX_ADDRESSES:
        raise ConfigError(f"A list of {len(parts)} addresses is longer than {MAX_ADDRESSES}. Use ranges")
    return parts


def _prefix_of_mask(text: str) -> int:
    bits = int(IPv4Address(text))
    length = 32 - (bits ^ 0xFFFFFFFF).bit_length()
    if bits != (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF:
        raise ValueError("the mask has holes")
    return length


def _canonical_network(network: IPv6Network) -> IPNetwork:
    mapped = network.network_address.ipv4_mapped
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network
