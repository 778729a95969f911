"""Nonces as a real Kamailio 5.6 made them: good at one address, until they expire."""

from __future__ import annotations

import pytest

from kemi.nonce import is_good, nonce_for

#: Captured, with the secret of a run that is gone; it expires at EXPIRY.
SECRET = b"E7TVeN9E1uUMt_OvUMNWDc-ZnES_gcEjSq79B8ZjZ8M"
NONCE = "awL+Q2sC/ctF9xgSk2DTs7kwgj1C+SQLolE4z+Lq1voaudLuv9dPvTA2zU2A"
EXPIRY = 1_795_358_275
HEADER = (
    f'Digest username="1\\"0", realm="demo.test", nonce="{NONCE}", uri="sip:demo.test", qop=auth, nc=00000001'
)


def test_a_nonce_is_good_where_it_was_given_until_it_expires() -> None:
    assert is_good(NONCE, "127.0.5.1", secret=SECRET, now=EXPIRY)
    assert not is_good(NONCE, "127.0.5.2", secret=SECRET, now=EXPIRY)
    assert not is_good(NONCE, "2001:db8::1", secret=SECRET, now=EXPIRY)
    assert not is_good(NONCE, "127.0.5.1", secret=SECRET, now=EXPIRY + 1)
    assert not is_good(NONCE, "127.0.5.1", secret=SECRET[:-1] + b"N", now=EXPIRY)


@pytest.mark.parametrize("nonce", ["", "AAAA", "not base64", NONCE[:40], "ю" * 60])
def test_what_is_no_nonce_is_not_good(nonce: str) -> None:
    assert not is_good(nonce, "127.0.5.1", secret=SECRET, now=0)


def test_the_nonce_is_that_of_the_realm() -> None:
    other = HEADER.replace("demo.test", "other.test").replace(NONCE, "other")
    assert nonce_for([other, HEADER], "Demo.test") == NONCE
    assert nonce_for([other], "demo.test") == ""
    assert nonce_for([], "demo.test") == ""
    assert nonce_for(['Digest realm="demo.test", nonce=plain, x'], "demo.test") == "plain"
