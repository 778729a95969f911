"""HA1 as the RFCs compute it, and passwords that are refused."""

from __future__ import annotations

import pytest

from callcore.digest import WeakPassword, check_password, ha1


def test_ha1_equals_the_examples_of_the_rfcs() -> None:
    """RFC 2617 section 3.5 (MD5) and RFC 7616 section 3.9.1 (SHA-256), each by its known response."""
    assert ha1("Mufasa", "testrealm@host.com", "Circle Of Life").md5 == "939e7578ed9e3c518a452acee763bce9"
    sha256 = "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
    assert ha1("Mufasa", "http-auth@example.org", "Circle of Life").sha256 == sha256


def test_ha1_is_computed_over_utf8() -> None:
    assert ha1("ю", "r", "п").md5 != ha1("?", "r", "?").md5


def test_ha1_does_not_show_itself() -> None:
    secret = ha1("a", "b", "c")
    assert secret.md5 not in repr(secret)


@pytest.mark.parametrize(
    "password", ["", "1234567", "aaaaaaaaaa", "Alice123", "tab\tinside", "new\nline-inside"]
)
def test_weak_password_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_password("alice123", password)
