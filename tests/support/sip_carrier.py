"""A carrier (any gateway) for tests: a phone on a fixed address, answers by plan, lets trunks register.

    carrier = Carrier(loop, "carrier.example", plan=Plan.answer())        # known by address, no digest
    carrier.plans += [Plan.reject(503, headers=[("Retry-After", "30")])]  # only the next call
    carrier.call("sip:+74951112233@127.0.0.1:5060", caller="+79161234567")  # a call into the proxy
    carrier.deaf = True                                                   # gone: not even OPTIONS is answered
    trunk = Carrier(loop, "trunk.example", trunks={"7495": "secret"}, challenge_calls=True)
    trunk.wait_registered("7495")                                         # the proxy's uac module registered

A carrier sends to the address in the Request-URI; it takes no outbound proxy.
"""

from __future__ import annotations

import secrets
import ssl

from tests.support.net_loop import NetLoop
from tests.support.sip_call import Call
from tests.support.sip_digest import Challenge, check
from tests.support.sip_message import HeaderList, SipRequest
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.sip_syntax import NameAddr, SipSyntaxError, unquote
from tests.support.sip_transaction import ServerTransaction, Timing


class Carrier(Phone):
    """The other network."""

    def __init__(
        self,
        loop: NetLoop,
        domain: str = "carrier.example",
        *,
        trunks: dict[str, str] | None = None,
        algorithm: str = "MD5",
        challenge_calls: bool = False,
        expires: int = 3600,
        transport: str = "udp",
        ip: str = "127.0.0.1",
        port: int = 0,
        plan: Plan | None = None,
        media: bool = False,
        strict: bool = True,
        timing: Timing | None = None,
        client_tls: ssl.SSLContext | None = None,
        server_tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            loop,
            "carrier",
            domain,
            transport=transport,
            ip=ip,
            port=port,
            plan=plan,
            media=media,
            strict=strict,
            timing=timing,
            client_tls=client_tls,
            server_tls=server_tls,
            user_agent="kalibri-test-carrier",
        )
        #: User name → password of the trunks that may register.
        self.trunks = trunks or {}
        self.algorithm, self.challenge_calls, self.expires = algorithm, challenge_calls, expires
        #: User name → Contact of the trunks that are registered now.
        self.registered: dict[str, NameAddr] = {}
        self.registrations = 0
        #: Why credentials were refused.
        self.auth_failures: list[str] = []
        self._nonces: dict[str, Challenge] = {}

    def invite(self, target: str, *, headers: HeaderList = (), offer: bool = True, caller: str = "") -> Call:
        """Call `target` (a full SIP URI) with `caller` as the number in From."""
        self.username = caller or self.username
        return super().invite(target, headers=headers, offer=offer)

    def call(self, target: str, *, headers: HeaderList = (), timeout: float = 10.0, caller: str = "") -> Call:
        """Call and wait for the answer."""
        return self.invite(target, headers=headers, caller=caller).wait_answered(timeout)

    def wait_registered(self, username: str, timeout: float = 15.0) -> NameAddr:
        """Wait until the trunk is registered and return its Contact."""
        self.wait(lambda: username in self.registered, timeout, f"registration of {username}")
        return self.registered[username]

    def wait_options(self, number: int = 1, timeout: float = 15.0) -> SipRequest:
        """Wait for the proxy's `number`-th OPTIONS ping."""
        return self.wait_request("OPTIONS", number, timeout)

    def on_other_request(self, transaction: ServerTransaction) -> None:
        """Register trunks; everything else as a phone does."""
        if transaction.request.method != "REGISTER" or "REGISTER" in self.reply_codes:
            super().on_other_request(transaction)
        elif self._authorized(transaction, "WWW-Authenticate", "Authorization", 401):
            self._register(transaction)

    def on_invite(self, transaction: ServerTransaction) -> None:
        """Challenge a call of a trunk if told so, then take it."""
        if not self.challenge_calls or self._authorized(
            transaction, "Proxy-Authenticate", "Proxy-Authorization", 407
        ):
            super().on_invite(transaction)

    def _authorized(self, transaction: ServerTransaction, ask: str, give: str, code: int) -> bool:
        fault = self._fault(transaction.request, give)
        if not fault:
            return True
        if give in transaction.request.headers:
            self.auth_failures.append(fault)
        challenge = Challenge(self.domain, secrets.token_hex(16), self.algorithm, ("auth",))
        self._nonces[challenge.nonce] = challenge
        text = (
            f'Digest realm="{self.domain}", nonce="{challenge.nonce}", algorithm={self.algorithm}, qop="auth"'
        )
        self.reply(transaction, code, [(ask, text)])
        return False

    def _fault(self, request: SipRequest, give: str) -> str:
        credentials = request.headers.get(give)
        if not credentials:
            return "no credentials"
        challenge = next((item for nonce, item in self._nonces.items() if nonce in credentials), None)
        username = next((name for name in self.trunks if f'username="{name}"' in credentials), None)
        if challenge is None or username is None:
            return f"unknown nonce or user in {unquote(credentials)}"
        try:
            return check(credentials, challenge, self.trunks[username], request.method)
        except SipSyntaxError as error:
            return str(error)

    def _register(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        username = request.to_addr.uri.user
        contact = request.contacts[0] if request.contacts else None
        asked = int(
            (contact and contact.params.get("expires")) or request.headers.get("Expires") or self.expires
        )
        headers: list[tuple[str, str]] = []
        if contact and asked:
            granted = min(asked, self.expires)
            self.registered[username] = contact
            headers = [("Contact", f"<{contact.uri}>;expires={granted}"), ("Expires", str(granted))]
        elif contact:
            self.registered.pop(username, None)
        self.registrations += 1
        self.reply(transaction, 200, headers)
