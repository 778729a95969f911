"""Digest access authentication for SIP (RFC 7616, RFC 8760, RFC 2617): challenges read, answers computed.

Pure. MD5, MD5-sess, SHA-256, SHA-256-sess; qop "auth" or none at all. The client's nonce is an argument,
so that the vectors of the RFCs can be recomputed.

    challenge = parse_challenge(response.headers.get("WWW-Authenticate"))
    header = answer(challenge, "100", "secret", "REGISTER", "sip:demo.example", cnonce="0a4f113b")
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.sip_message import parse_auth_params
from tests.support.sip_syntax import SipSyntaxError, unquote

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True)
class Challenge:
    """What WWW-Authenticate or Proxy-Authenticate asks for."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False


def parse_challenge(text: str) -> Challenge:
    """Read one challenge; a scheme other than Digest, a missing realm or nonce is an error."""
    scheme, quoted = parse_auth_params(text)
    if scheme.lower() != "digest":
        raise SipSyntaxError(f"scheme {scheme}")
    params = {name: unquote(value) for name, value in quoted.items()}
    if not params.get("realm") or not params.get("nonce"):
        raise SipSyntaxError(f"challenge without realm or nonce: {text!r}")
    qop = tuple(item.strip() for item in params.get("qop", "").split(",") if item.strip())
    return Challenge(
        params["realm"],
        params["nonce"],
        params.get("algorithm", "MD5"),
        qop,
        params.get("opaque"),
        params.get("stale", "").lower() == "true",
    )


def best_challenge(texts: Iterable[str]) -> Challenge:
    """Choose the strongest of several challenges that we can answer (RFC 8760)."""
    challenges = [parse_challenge(text) for text in texts]
    usable = [item for item in challenges if item.algorithm.upper().removesuffix("-SESS") in _HASHES]
    if not usable:
        raise SipSyntaxError(f"no challenge that we can answer in {challenges}")
    return max(usable, key=lambda item: item.algorithm.upper().startswith("SHA"))


def hash_a1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """Return H(username:realm:password), the HA1 that a registrar stores."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def response_value(
    challenge: Challenge,
    ha1: str,
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int = 1,
) -> str:
    """Return the value of `response` (RFC 7616 section 3.4.1)."""
    algorithm = challenge.algorithm
    if algorithm.lower().endswith("-sess"):
        ha1 = _hash(algorithm, f"{ha1}:{challenge.nonce}:{cnonce}")
    ha2 = _hash(algorithm, f"{method}:{uri}")
    if not challenge.qop:
        return _hash(algorithm, f"{ha1}:{challenge.nonce}:{ha2}")
    return _hash(algorithm, f"{ha1}:{challenge.nonce}:{nonce_count:08x}:{cnonce}:auth:{ha2}")


def answer(
    challenge: Challenge,
    username: str,
    password: str,
    method: str,
    uri: str,
    *,
    cnonce: str,
    nonce_count: int = 1,
) -> str:
    """Return the value of Authorization or Proxy-Authorization."""
    if challenge.qop and "auth" not in challenge.qop:
        raise SipSyntaxError(f"only qop {challenge.qop} is offered")
    ha1 = hash_a1(username, challenge.realm, password, challenge.algorithm)
    value = response_value(challenge, ha1, method, uri, cnonce, nonce_count)
    parts = [
        f'username="{username}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{value}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.qop:
        parts += ["qop=auth", f"nc={nonce_count:08x}", f'cnonce="{cnonce}"']
    elif challenge.algorithm.lower().endswith("-sess"):
        parts.append(f'cnonce="{cnonce}"')
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    return "Digest " + ", ".join(parts)


def _hash(algorithm: str, text: str) -> str:
    maker = _HASHES.get(algorithm.upper().removesuffix("-SESS"))
    if maker is None:
        raise SipSyntaxError(f"digest algorithm {algorithm}")
    return maker(text.encode()).hexdigest()


def check(authorization: str, challenge: Challenge, password: str, method: str) -> str:
    """Verify credentials as a registrar does; return what is wrong with them, or an empty text."""
    scheme, quoted = parse_auth_params(authorization)
    given = {name: unquote(value) for name, value in quoted.items()}
    if scheme.lower() != "digest" or not {"username", "realm", "nonce", "uri", "response"} <= given.keys():
        return f"incomplete credentials: {authorization}"
    if given["nonce"] != challenge.nonce or given["realm"] != challenge.realm:
        return "other nonce or realm than the challenge's"
    if given.get("algorithm", "MD5").upper() != challenge.algorithm.upper():
        return f"algorithm {given.get('algorithm')} instead of {challenge.algorithm}"
    if challenge.qop and given.get("qop") != "auth":
        return "no qop"
    ha1 = hash_a1(given["username"], challenge.realm, password, challenge.algorithm)
    count = int(given.get("nc", "1"), 16)
    expected = response_value(challenge, ha1, method, given["uri"], given.get("cnonce", ""), count)
    return "" if given["response"] == expected else "wrong password"
