"""The digest arithmetic against the examples of the RFCs."""

from __future__ import annotations

import pytest

from tests.support.sip_digest import (
    Challenge,
    answer,
    best_challenge,
    check,
    hash_a1,
    parse_challenge,
    response_value,
)
from tests.support.sip_syntax import SipSyntaxError

_NONCE_7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
_CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_example_of_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    challenge = Challenge("http-auth@example.org", _NONCE_7616, algorithm, ("auth", "auth-int"))
    ha1 = hash_a1("Mufasa", challenge.realm, "Circle of Life", algorithm)
    assert response_value(challenge, ha1, "GET", "/dir/index.html", _CNONCE_7616) == expected


@pytest.mark.parametrize(
    ("qop", "expected"),
    [(("auth",), "6629fae49393a05397450978507c4ef1"), ((), "670fd8c2df070c60b045671b8b24ff02")],
)
def test_example_of_rfc_2617_with_and_without_qop(qop: tuple[str, ...], expected: str) -> None:
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "MD5", qop)
    ha1 = hash_a1("Mufasa", challenge.realm, "Circle Of Life")
    assert ha1 == "939e7578ed9e3c518a452acee763bce9"
    assert response_value(challenge, ha1, "GET", "/dir/index.html", "0a4f113b") == expected


def test_session_variant_hashes_the_nonces_into_ha1() -> None:
    plain = Challenge("r", "n", "MD5", ("auth",))
    session = Challenge("r", "n", "MD5-sess", ("auth",))
    ha1 = hash_a1("u", "r", "p", "MD5-sess")
    assert ha1 == hash_a1("u", "r", "p")
    assert response_value(plain, ha1, "REGISTER", "sip:r", "c") != response_value(
        session, ha1, "REGISTER", "sip:r", "c"
    )


def test_challenge_is_read_with_its_quotes_removed() -> None:
    text = 'Digest realm="a, b", nonce="n\\"1", algorithm=SHA-256, qop="auth,auth-int", opaque="", stale=TRUE'
    assert parse_challenge(text) == Challenge("a, b", 'n"1', "SHA-256", ("auth", "auth-int"), "", True)


@pytest.mark.parametrize("text", ["Basic realm=x", 'Digest nonce="n"', 'Digest realm="r"', 'Digest realm="r'])
def test_bad_challenge_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_challenge(text)


def test_strongest_challenge_is_answered() -> None:
    texts = ['Digest realm="r", nonce="n", algorithm=MD5', 'Digest realm="r", nonce="n", algorithm=SHA-256']
    assert best_challenge(texts).algorithm == "SHA-256"
    assert best_challenge([*texts, 'Digest realm="r", nonce="n", algorithm=SHA-999']).algorithm == "SHA-256"


def test_own_answer_passes_own_check_and_a_wrong_password_does_not() -> None:
    challenge = Challenge("demo", "nonce1", "SHA-256", ("auth",), "opaque1")
    header = answer(challenge, "100", "secret", "REGISTER", "sip:demo", cnonce="c1", nonce_count=3)
    assert "nc=00000003" in header
    assert 'opaque="opaque1"' in header
    assert check(header, challenge, "secret", "REGISTER") == ""
    assert check(header, challenge, "Secret", "REGISTER") == "wrong password"
    assert check(header, challenge, "secret", "INVITE") == "wrong password"
    assert "nonce" in check(header, Challenge("demo", "nonce2", "SHA-256", ("auth",)), "secret", "REGISTER")
