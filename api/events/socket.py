"""WebSocket: JSON-RPC as over HTTP, and events as notifications. GET /v1/socket (header or ?ticket=).

    → {"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"kinds":["call.*"],"after":1234}}
    ← {"jsonrpc":"2.0","id":1,"result":{"after":1234}}
    ← {"jsonrpc":"2.0","method":"events","params":{"events":[…],"after":1240}}

A connection has one subscription at most; a new one takes the place of the old. To subscribe is a request of its own,
in no batch: where the batch is answered as a whole, the first events could come before. Whoever does not show a
valid token is closed with code 4401.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.websocket import WebSocketResource

from api import jsonrpc
from api.events.event import Batch, reset_data
from api.events.feed import Feed, Listener
from api.events.http import asking, chosen_by, one
from api.http import bearer, peer
from api.jsonrpc import ProtocolError
from api.method import BadParameters
from api.rpc import RpcServer, refusal
from callcore.errors import KalibriError
from kalibri.config_sections import ApiConfig
from kalibri.services.token import Principal

log = logging.getLogger("ks-api")

SUBSCRIBE = "event.subscribe"
UNSUBSCRIBE = "event.unsubscribe"
#: Codes with which a connection is closed: 4000-4999 are for applications.
CLOSE_UNAUTHORIZED = 4401
CLOSE_GOING_AWAY = 1001
CLOSE_TOO_BIG = 1009
CLOSE_NOT_TEXT = 1003


@dataclass(frozen=True)
class Subscription:
    """Parameters of event.subscribe."""

    kinds: tuple[str, ...] = ()
    queues: tuple[int, ...] = ()
    agents: tuple[int, ...] = ()
    after: int | None = None


_SUBSCRIPTION = TypeAdapter(Subscription)


class _LimitedText:
    """Takes the pieces of a message in place of Twisted's buffer, which has no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[str] = []
        self._size = 0
        self.too_long = False

    def add(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > self._most:
            self.too_long = True
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def done(self) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return text


class Socket:
    """One connection."""

    def __init__(self, config: ApiConfig, server: RpcServer, feed: Feed, request: Request) -> None:
        self._config = config
        self._server = server
        self._feed = feed
        self._request = request
        self._token = bearer(request) or one(request, "ticket") or ""
        self._address = peer(request, config)
        self._listener: Listener | None = None
        self._transport: Any = None
        self._text = _LimitedText(config.max_request_bytes)
        self._principal: Principal | None = None
        self._early: list[str] = []
        self._open = True

    # ------------------------------------------------------------------------------- called by Twisted

    def negotiationStarted(self, transport: Any) -> None:
        """Take the connection."""
        self._transport = transport
        transport._textBuffer = self._text

    def negotiationFinished(self) -> None:
        """Look at the token; what is said meanwhile waits."""
        self._transport.detachProducer()  # Twisted leaves its HTTP channel registered
        Deferred.fromCoroutine(self._authenticate()).addErrback(self._failed)

    def textMessageReceived(self, message: str) -> None:
        """Take a text of JSON-RPC."""
        if self._text.too_long:
            self.close(CLOSE_TOO_BIG, "the message is too long")
        elif self._principal is None:
            self._early.append(message)
            if len(self._early) > 10:
                self.close(CLOSE_UNAUTHORIZED, "not so much before the token is checked")
        else:
            Deferred.fromCoroutine(self._answer(self._principal, message)).addErrback(self._failed)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Refuse what is no text."""
        self.close(CLOSE_NOT_TEXT, "texts only")

    def pongReceived(self, payload: bytes) -> None:
        """Nothing is to be done."""

    def connectionLost(self, reason: Failure) -> None:
        """End the subscription."""
        self._open = False
        if self._listener is not None:
            self._feed.remove(self._listener)

    # ---------------------------------------------------------------------------- called by the feed

    def send(self, batch: Batch) -> None:
        """Send events."""
        self._write(batch.notification)

    def alive(self, head: int) -> None:
        """Say that everything up to here is told."""
        self._write(f'{{"jsonrpc":"2.0","method":"events","params":{{"events":[],"after":{head}}}}}')

    def reset(self, head: int, reason: str) -> None:
        """Say that the place is lost."""
        self._write(f'{{"jsonrpc":"2.0","method":"reset","params":{reset_data(head, reason)}}}')

    def end(self, reason: str) -> None:
        """Close the connection: the token has ended, or the server stops."""
        self.close(CLOSE_UNAUTHORIZED if "token" in reason else CLOSE_GOING_AWAY, reason)

    # ------------------------------------------------------------------------------------------ inside

    def close(self, code: int, reason: str) -> None:
        """Say why, and close."""
        if self._open:
            self._open = False
            self._transport.loseConnection(code, reason)

    def _write(self, text: str) -> None:
        if self._open:
            self._transport.sendTextMessage(text)

    def _failed(self, failure: Failure) -> None:
        log.error("socket failed: %s", failure.getTraceback())
        self.close(1011, "internal error")

    async def _authenticate(self) -> None:
        try:
            self._principal = await asking(self._server, self._config, self._request)
        except KalibriError as error:
            self.close(CLOSE_UNAUTHORIZED, error.message[:100])
            return
        early, self._early = self._early, []
        for message in early:
            self.textMessageReceived(message)

    async def _answer(self, principal: Principal, message: str) -> None:
        own = self._own_method(principal, message)
        if own is not None:
            if own:
                self._write(own)
            return
        answer = await self._server.answer(message, token=self._token, address=self._address)
        if answer.text:
            self._write(answer.text)

    def _own_method(self, principal: Principal, message: str) -> str | None:
        """Answer subscribe and unsubscribe, which belong to this connection; None: it is something else.

        Empty: it was a notification, which is obeyed without an answer.
        """
        if SUBSCRIBE not in message and UNSUBSCRIBE not in message:
            return None
        try:
            told = jsonrpc.parse(message)
        except ProtocolError as error:
            return refusal(error).text
        entry = told.entries[0]
        if told.is_batch or isinstance(entry, ProtocolError) or entry.method not in (SUBSCRIBE, UNSUBSCRIBE):
            return None
        try:
            if entry.method == UNSUBSCRIBE:
                self._unsubscribe()
                answer = jsonrpc.result_text(entry.request_id, "null")
            else:
                after = self._subscribe(principal, entry.params)
                answer = jsonrpc.result_text(entry.request_id, json.dumps({"after": after}))
        except KalibriError as error:
            answer = jsonrpc.error_text(entry.request_id, error)
        return "" if entry.is_notification else answer

    def _subscribe(self, principal: Principal, params: Any) -> int | None:
        try:
            asked = _SUBSCRIPTION.validate_python(params if isinstance(params, dict) else {}, extra="forbid")
        except ValidationError as error:
            raise BadParameters("; ".join(item["msg"] for item in error.errors())) from None
        chosen = chosen_by(principal, asked.kinds, asked.queues, asked.agents)
        after = self._feed.head if asked.after is None else asked.after
        if after is not None and not 0 <= after < 2**63:
            raise BadParameters("after: is no number of an event")
        self._unsubscribe()
        # The result goes out before the first events do: the feed begins in a later turn of the loop.
        self._listener = self._feed.add(chosen, after, self, principal.lasting_id)
        self._transport.attachProducer(self._listener)
        return after

    def _unsubscribe(self) -> None:
        if self._listener is not None:
            self._feed.remove(self._listener)
            self._transport.detachProducer()
            self._listener = None


class SocketFactory:
    """Makes the connections of GET /v1/socket."""

    def __init__(self, config: ApiConfig, server: RpcServer, feed: Feed) -> None:
        self._parts = (config, server, feed)

    def buildProtocol(self, request: Request) -> Socket:
        """Make one."""
        return Socket(*self._parts, request)


def socket_resource(config: ApiConfig, server: RpcServer, feed: Feed) -> WebSocketResource:
    """Return the resource of GET /v1/socket."""
    return WebSocketResource(SocketFactory(config, server, feed))
