"""What the called learns of the caller."""

from __future__ import annotations

import pytest

from kemi.presentation import Identity, asserted, identity_in, is_hidden, wants_hiding


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("<sip:+74951234567@carrier.example>", Identity("+74951234567", "carrier.example")),
        ('"Eve" <sips:eve@Demo.Test:5061;user=phone>', Identity("eve", "demo.test")),
        ("<tel:+74951234567;phone-context=ru>, <sip:x@y>", Identity("+74951234567", "")),
        ("sip:101@demo.test", Identity("101", "demo.test")),
        ("", None),
        ("nonsense", None),
    ],
)
def test_identities(header: str, found: Identity | None) -> None:
    assert identity_in(header) == found


@pytest.mark.parametrize(
    ("privacy", "user", "host", "wanted"),
    [
        ("", "101", "demo.test", None),
        ("id", "101", "demo.test", True),
        ("critical; Header", "101", "demo.test", True),
        ("session", "101", "demo.test", None),
        ("none", "anonymous", "anonymous.invalid", False),
        ("", "x", "anonymous.invalid", True),
        ("", "Anonymous", "carrier.example", True),
    ],
)
def test_what_a_request_asks_for(privacy: str, user: str, host: str, wanted: bool | None) -> None:
    assert wants_hiding(privacy, user, host) is wanted


@pytest.mark.parametrize(
    ("asked", "always", "once", "hidden"),
    [
        (None, False, None, False),
        (None, True, None, True),
        (False, True, None, False),
        (True, False, False, False),
        (None, False, True, True),
    ],
)
def test_the_nearest_wish_wins(asked: bool | None, always: bool, once: bool | None, hidden: bool) -> None:
    assert is_hidden(asked=asked, always=always, once=once) is hidden


def test_what_a_trusted_gateway_is_told() -> None:
    assert asserted("74951234567", "demo.test") == "P-Asserted-Identity: <sip:74951234567@demo.test>"
