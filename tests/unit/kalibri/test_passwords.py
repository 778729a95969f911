"""Passwords that Kalibri makes itself."""

from __future__ import annotations

from callcore.digest import check_password
from kalibri.services.account import ALPHABET, generate_password


def test_generated_passwords_are_good_and_different() -> None:
    passwords = {generate_password() for _ in range(100)}
    assert len(passwords) == 100
    for password in passwords:
        check_password("alice", password)
        assert set(password) <= set(ALPHABET)
