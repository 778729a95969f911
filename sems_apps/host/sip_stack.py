"""SIP of a media host: sippy's transactions on one UDP socket of ours, talking to the proxies' internal sockets only.

Decides what is refused before it becomes a call (foreign sources, missing Contact, Require, unknown methods). What a
call does is in sip_leg.py and session.py. It never resolves a name and never waits.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sems_apps.host.loop import Loop
from sems_apps.host.sippy_env import (
    MonoTime,
    Remote_address,
    SipHeader,
    SipTransactionManager,
    repeating,
    use_loop,
)

log = logging.getLogger("media")

Address = tuple[str, int]

#: Methods that we answer; what Allow says.
ALLOWED = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER"
#: Option tags that a caller may require of us (RFC 3261 section 8.2.2.3).
SUPPORTED_OPTIONS: frozenset[str] = frozenset()
_MOST_DATAGRAMS = 64
_MAX_DATAGRAM = 65_535
#: How long an answered message is remembered at least, so that its repetition gets the same answer.
CACHE_SECONDS = 32.0
_BUFFER_BYTES = 4 * 1024 * 1024

#: (resp, cancel callback, no-ACK callback) or None: what sippy expects of a request handler.
Verdict = tuple[Any, Any, Any] | None


class _NoLog:
    """sippy's logger: each message was formatted for nobody."""

    def write(self, *_: object, **__: object) -> None:
        """Forget it."""


class _SocketOptions:
    """What sippy asks a socket about itself."""

    def __init__(self, laddress: Address) -> None:
        self.laddress = laddress

    def isWildCard(self) -> bool:  # sippy's name
        """We are bound to one address."""
        return False


class SipSocket:
    """sippy's Udp_server with its six threads replaced by one socket on the loop.

    No thread that could overtake another, no SO_REUSEPORT that would let a second host take half of our calls, no
    getaddrinfo for each message.
    """

    transport = "udp"

    def __init__(self, loop: Loop, address: Address, accepts: Callable[[str], bool]) -> None:
        self._loop, self._accepts = loop, accepts
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self.uopts = _SocketOptions(self._socket.getsockname()[:2])
        #: Set by the transactions: (text, source, this socket, time).
        self.data_callback: Callable[..., None] | None = None
        loop.watch(self._socket, self._readable)
        #: Datagrams that could not be sent, and those of strangers.
        self.unsent = self.strangers = 0

    def getSIPaddr(self) -> tuple[Address, str]:  # sippy's name
        """Return where we can be reached."""
        return self.uopts.laddress, self.transport

    def addr2str(self, address: Address) -> str:
        """Return an address for a log."""
        return f"{address[0]}:{address[1]}"

    def send_to(self, data: str | bytes, address: Address, delayed: bool = False) -> None:
        """Send a message; what cannot be sent now is sent again by the transaction."""
        raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
        try:
            self._socket.sendto(raw, (str(address[0]), int(address[1])))
        except (OSError, ValueError) as error:
            self.unsent += 1
            log.warning("cannot send to %s: %s", address, error)

    def shutdown(self) -> None:
        """Close the socket."""
        self._loop.unwatch(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(_MOST_DATAGRAMS):
            try:
                data, address = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier sending
                continue
            if self._accepts(address[0]):
                self._take(data, address)
            else:
                self.strangers += 1

    def _take(self, data: bytes, address: Address) -> None:
        # A byte that is not UTF-8 must cost nobody his call: decoded leniently here, strictly by sippy otherwise.
        text = data.decode("utf-8", "replace")
        if self.data_callback is None:
            return
        try:
            self.data_callback(text, Remote_address(address, self.transport), self, MonoTime())
        # One message must not stop the host; the hook above sippy has failed the call already if it was one.
        except Exception:
            log.exception("a message from %s could not be handled", self.addr2str(address))


class _OneSocket:
    """sippy's choice of a local socket for a remote address: there is only one."""

    def __init__(self, only: SipSocket) -> None:
        self._only = only

    def getServer(self, address: Address, is_local: bool = False) -> SipSocket:  # sippy's name
        """Return the socket."""
        return self._only

    def rotateCache(self) -> None:  # sippy's name
        """There is no cache."""


class _Transactions(SipTransactionManager):
    """sippy's transactions on our socket; its own constructor would open sockets and threads."""

    def __init__(
        self, config: dict[str, Any], only: SipSocket, on_request: Callable[[Any, Any], Verdict]
    ) -> None:
        self.global_config, self.req_cb = config, on_request
        self.l4r = _OneSocket(only)
        only.data_callback = self.handleIncoming
        self.tclient: dict[Any, Any] = {}
        self.tserver: dict[Any, Any] = {}
        self.l1rcache: dict[Any, Any] = {}
        self.l2rcache: dict[Any, Any] = {}
        self.req_consumers: dict[str, Any] = {}
        self.init_time = time.monotonic()
        self.cp_timer = repeating(self.rCachePurge, CACHE_SECONDS)

    def incomingRequest(self, msg: Any, checksum: Any, tids: Any, server: Any) -> None:  # sippy's name
        """Take a request that has passed us before, too.

        A caller whom we hand to a queue or a scenario comes back through the proxy, to this host when it is the only
        one or has most room; sippy refuses that with 482 (RFC 3261 section 16.3). Loops are the proxy's business.
        """
        super().incomingRequest(msg, checksum, (), server)

    def transmitMsg(self, userv: Any, msg: Any, *rest: Any, **more: Any) -> None:  # sippy's name
        """Send; sippy answers CANCEL without a To tag."""
        if getattr(msg, "scode", None) is not None and msg.scode > 100:
            receiver = msg.getHFBody("to")
            if receiver.getTag() is None:
                receiver.genTag()
        super().transmitMsg(userv, msg, *rest, **more)


@dataclass(frozen=True, slots=True)
class InviteFacts:
    """What an INVITE that begins a call says."""

    call_id: str
    #: User part of From and of the Request-URI.
    caller: str
    called: str
    #: Display name of From.
    caller_name: str
    headers: dict[str, str]
    #: Replaces (RFC 3891), "": none.
    replaces: str = ""


class SipStack:
    """One listening socket with its transactions."""

    def __init__(
        self,
        loop: Loop,
        address: Address,
        *,
        accepts: Callable[[str], bool],
        on_invite: Callable[[Any, Any], Verdict],
        is_ready: Callable[[], bool],
    ) -> None:
        """Bind the socket; raises OSError when the address is in use.

        accepts: whether this source address is a proxy of ours. on_invite: (request, transaction) of a new call.
        is_ready: what OPTIONS is answered by.
        """
        use_loop(loop)
        self.loop, self._on_invite, self._is_ready = loop, on_invite, is_ready
        self._socket = SipSocket(loop, address, accepts)
        host, port = self._socket.uopts.laddress
        self.config: dict[str, Any] = {"_sip_address": host, "_sip_port": port, "_sip_logger": _NoLog()}
        self.transactions = _Transactions(self.config, self._socket, self._request)
        self.config["_sip_tm"] = self.transactions

    @property
    def address(self) -> Address:
        """Where we listen."""
        return self._socket.uopts.laddress

    def close(self) -> None:
        """Close the socket."""
        self.transactions.cp_timer.cancel()
        self._socket.shutdown()

    def _request(self, request: Any, transaction: Any) -> Verdict:
        """Take a request that belongs to no dialog of ours."""
        method = request.getMethod()
        in_dialog = request.getHFBody("to").getTag() is not None
        if method == "INVITE" and not in_dialog:
            return self._new_call(request, transaction)
        if method == "OPTIONS":
            return (
                self._refuse(request, 200, "OK")
                if self._is_ready()
                else self._refuse(request, 503, "Draining")
            )
        if in_dialog:
            return self._refuse(request, 481, "Call Does Not Exist")
        return self._refuse(request, 405, "Method Not Allowed")

    def _new_call(self, request: Any, transaction: Any) -> Verdict:
        if not request.countHFs("contact"):  # sippy would raise, and nobody would answer
            return self._refuse(request, 400, "Missing Contact")
        unknown = required_options(request) - SUPPORTED_OPTIONS
        if unknown:
            verdict = self._refuse(request, 420, "Bad Extension")
            verdict[0].appendHeader(SipHeader(name="Unsupported", bodys=", ".join(sorted(unknown))))
            return verdict
        try:
            return self._on_invite(request, transaction)
        # Nobody else would answer this caller.
        except Exception:
            log.exception("an INVITE could not be taken")
            return self._refuse(request, 500, "Server Internal Error")

    def _refuse(self, request: Any, code: int, reason: str) -> tuple[Any, Any, Any]:
        response = request.genResponse(code, reason)
        response.appendHeader(SipHeader(name="Allow", bodys=ALLOWED))
        return response, None, None


def required_options(request: Any) -> set[str]:
    """Return the option tags of Require."""
    values = [str(header.body) for header in request.headers if header.name == "require"]
    return {word.strip().lower() for value in values for word in value.split(",") if word.strip()}


def invite_facts(request: Any) -> InviteFacts:
    """Read what matters of an INVITE."""
    sender = request.getHFBody("from")
    return InviteFacts(
        str(request.getHFBody("call-id")),
        sender.getUrl().username or "",
        request.getRURI().username or "",
        (sender.getUri().name or "").strip('"'),
        {header.name: str(header.body) for header in request.headers if header.name.startswith("x-ks-")},
        next((str(header.body) for header in request.headers if header.name == "replaces"), ""),
    )
