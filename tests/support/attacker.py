"""Our own attackers: a password guesser, an account enumerator and a forger of internal headers.

They exist because a scanner that finds nothing proves nothing (svcrack misses a password that is in its
range): each first wins against an unguarded server (the positive control), then its failure against our
proxy counts.

    control = guess_password(tiny.address, "tiny.example", "100", ["1234", "secret"])
    assert control.found == "secret"
    result = guess_password(proxy.address, "demo.example", "100", pins, ip="127.0.0.2")
    assert result.found is None and result.blocked
    answers = enumerate_accounts(proxy.address, "demo.example", ["100", "nobody"])
    assert len(set(answers.values())) == 1
    marker = new_marker()
    phone.invite("101", headers=forged_headers(marker)); assert_not_leaked(marker, callee, carrier)
"""

from __future__ import annotations

import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.sip_digest import answer, best_challenge
from tests.support.sip_message import SipResponse, parse_message
from tests.support.sip_phone import Phone
from tests.support.sip_syntax import SipSyntaxError

#: How long an answer may take before the attempt counts as unanswered, and how many of those mean "blocked".
_ANSWER_SECONDS = 0.5
_BLOCKED_AFTER = 3


@dataclass
class Guess:
    """What a series of guesses brought."""

    #: The password, if it was found.
    found: str | None = None
    tried: int = 0
    #: Final codes to requests with credentials; 0 for none at all.
    codes: Counter[int] = field(default_factory=Counter)
    #: The server stopped answering this address, or refuses to challenge it.
    blocked: bool = False


class _Client:
    """One UDP socket that sends requests as an attacker's tool does: no repetitions, little patience."""

    def __init__(self, target: tuple[str, int], domain: str, ip: str) -> None:
        self.target, self.domain = target, domain
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((ip, 0))
        self._sock.settimeout(_ANSWER_SECONDS)
        self._cseq = 0

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sock.close()

    def ask(
        self, method: str, user: str, credentials: str = "", field_name: str = "Authorization"
    ) -> SipResponse | None:
        """Send one request; return its final response, or None."""
        self._cseq += 1
        ip, port = self._sock.getsockname()
        uri = f"sip:{self.domain}" if method == "REGISTER" else f"sip:{user}@{self.domain}"
        call_id = secrets.token_hex(8)
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {ip}:{port};branch=z9hG4bK{call_id};rport",
            f"From: <sip:{user}@{self.domain}>;tag={call_id}",
            f"To: <sip:{user}@{self.domain}>",
            f"Call-ID: {call_id}",
            f"CSeq: {self._cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:{user}@{ip}:{port}>",
            *([f"{field_name}: {credentials}"] if credentials else []),
            "Content-Length: 0",
        ]
        self._sock.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), self.target)
        return self._final(call_id)

    def _final(self, call_id: str) -> SipResponse | None:
        while True:
            try:
                message = parse_message(self._sock.recv(65536))
            except (TimeoutError, ConnectionRefusedError):
                return None
            except SipSyntaxError:
                continue
            if isinstance(message, SipResponse) and message.code >= 200 and message.call_id == call_id:
                return message


def guess_password(
    target: tuple[str, int],
    domain: str,
    user: str,
    candidates: Iterable[str],
    *,
    ip: str = "127.0.0.1",
    method: str = "REGISTER",
) -> Guess:
    """Try passwords one after the other until one is taken, or the server blocks us."""
    result, unanswered = Guess(), 0
    with _Client(target, domain, ip) as client:
        for password in candidates:
            code = _try(client, method, user, password)
            result.tried += 1
            result.codes[code] += 1
            if 200 <= code < 300:
                result.found = password
                break
            unanswered = unanswered + 1 if code in (0, 403, 503) else 0
            if unanswered >= _BLOCKED_AFTER:
                result.blocked = True
                break
    return result


def _try(client: _Client, method: str, user: str, password: str) -> int:
    challenge_response = client.ask(method, user)
    if challenge_response is None or challenge_response.code not in (401, 407):
        return challenge_response.code if challenge_response else 0
    response = _answered(client, method, user, password, challenge_response)
    return response.code if response else 0


def _answered(
    client: _Client, method: str, user: str, password: str, challenged: SipResponse
) -> SipResponse | None:
    """Answer a challenge, from whatever address the client has; return what came of it."""
    asked, given = (
        ("WWW-Authenticate", "Authorization")
        if challenged.code == 401
        else ("Proxy-Authenticate", "Proxy-Authorization")
    )
    challenge = best_challenge(challenged.headers.all(asked))
    uri = f"sip:{client.domain}" if method == "REGISTER" else f"sip:{user}@{client.domain}"
    credentials = answer(challenge, user, password, method, uri, cnonce=secrets.token_hex(8))
    return client.ask(method, user, credentials, given)


def fail_in_the_name_of(
    victim: str, target: tuple[str, int], domain: str, user: str, times: int, *, ip: str
) -> list[tuple[int, bool]]:
    """Send wrong passwords from the victim's address, with nonces that were given to `ip`.

    So does who forges his source address: the challenge reaches him only at his own. Returns what the victim gets:
    code, and whether a new challenge says that the nonce was stale.
    """
    got = []
    with _Client(target, domain, ip) as own, _Client(target, domain, victim) as forged:
        for number in range(times):
            challenged = own.ask("REGISTER", user)
            response = challenged and _answered(forged, "REGISTER", user, f"wrong{number}", challenged)
            assert response is not None, "no answer"
            fields = response.headers.all("WWW-Authenticate")
            got.append((response.code, bool(fields) and best_challenge(fields).stale))
    return got


def enumerate_accounts(
    target: tuple[str, int],
    domain: str,
    users: Sequence[str],
    *,
    ip: str = "127.0.0.1",
    method: str = "REGISTER",
) -> dict[str, str]:
    """Return what each user name gets, everything random blanked: equal texts mean that nothing is learnt."""
    with _Client(target, domain, ip) as client:
        return {user: _signature(client.ask(method, user), user) for user in users}


def _signature(response: SipResponse | None, user: str) -> str:
    if response is None:
        return "no answer"
    kept = [
        (name, value) for name, value in response.headers if name.lower() not in ("via", "call-id", "cseq")
    ]
    text = "\n".join([response.start_line(), *(f"{name}: {value}" for name, value in kept)])
    text = re.sub(r'nonce="[^"]*"|tag=[^;\s]*', "", text.replace(user, "USER"))
    return re.sub(r"\d{2,}", "N", text)


def new_marker() -> str:
    """Return a value that occurs nowhere else."""
    return f"forged-{secrets.token_hex(8)}"


def forged_headers(marker: str) -> list[tuple[str, str]]:
    """Return header lines for `Phone.invite(headers=…)` that try to pass as internal ones, each with the
    marker.

    The name carries the disguise: a phone writes "name: value", so "X-KS-Call " becomes "X-KS-Call :
    value". Lines that no strict parser would take (bare line feeds, NUL) are in torture/hostile.py.
    """
    names = ["X-KS-Call", "X-KS-Call ", "X-KS-Call\t", "x-ks-call", "X-kS-cAlL", "X-KS-Call" + " " * 40]
    names += ["X-KS-App", "X-KS-Arg ", "X-KS-Leg", "X-KS-Offer\t", "X-KS-Anything", "x-ks-"]
    return [(name, marker) for name in names] + [("X-KS-Call", f"\r\n {marker}")]


def assert_not_leaked(marker: str, *phones: Phone) -> None:
    """Fail if the marker reached one of the phones, in any message, header or body."""
    for phone in phones:
        leaked = [item.raw for item in phone.received if marker.encode() in item.raw]
        assert not leaked, f"{phone.username} received {marker}: {leaked[0]!r}"
