"""Checks of single configuration values. Each returns None, or what the value must be ("an IP address")."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

Check = Callable[[Any], str | None]

LOG_LEVELS = ("debug", "info", "warning", "error")


def one_of(*choices: str) -> Check:
    """Make a check for one of these words, letter for letter."""
    return lambda value: None if value in choices else " or ".join(choices)


def pattern(regex: str, meaning: str) -> Check:
    """Make a check for text of this form."""
    return lambda value: None if re.fullmatch(regex, value) else meaning


def ip_address(value: str) -> str | None:
    """A literal IPv4 or IPv6 address: names would need a resolver at start."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "an IP address (not a name)"
    return None


def networks(value: str) -> str | None:
    """Networks or addresses with blanks between; empty: none."""
    try:
        for word in value.replace(",", " ").split():
            ipaddress.ip_network(word)
    except ValueError:
        return "networks with blanks between, as 10.1.0.0/16 192.168.7.5"
    return None


#: Part of the names of journal files, where "-" separates the parts.
node_name = pattern(r"[A-Za-z0-9][A-Za-z0-9_.]{0,31}", "1 to 32 letters, digits, _ or . (no hyphen)")
level = one_of(*LOG_LEVELS)


def directory_name(value: object) -> str | None:
    """The path gets into files of several syntaxes (supervisor, PostgreSQL, Kamailio): no quoting games."""
    return (
        None if re.fullmatch(r"[^\x00-\x1f\x7f'\",;%\\]+", str(value)) else "a path without quotes , ; % \\"
    )


def port_conflict(uses: Mapping[str, tuple[str, int, int]]) -> str | None:
    """Say which two of these {key: (address, first port, count)} want the same port; port 0 wants none."""
    for (name, one), (other_name, other) in combinations(uses.items(), 2):
        overlap = one[1] < other[1] + other[2] and other[1] < one[1] + one[2]
        if one[0] == other[0] and one[1] and other[1] and overlap:
            return f"{name} and {other_name} want the same port of {one[0]} ({max(one[1], other[1])})"
    return None
