"""HTTP: addresses of the API, what a request carries, and how an answer goes back.

    POST /v1/rpc       JSON-RPC 2.0 (Authorization: Bearer ks_…)
    GET  /health       does it answer, and does the database?

Thin: it parses headers and hands over to api/rpc.py.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import Request as WireRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from api import jsonrpc
from api.jsonrpc import InternalError, ProtocolError
from api.rpc import Answer, RpcServer, refusal
from callcore.errors import KalibriError
from kalibri.config_sections import ApiConfig

log = logging.getLogger("ks-api")

#: A connection on which nothing happens for so long is closed, unless it listens for events.
IDLE_SECONDS = 75
JSON = "application/json"
BEARER = "Bearer "


def peer(request: Request, config: ApiConfig) -> str:
    """Return the address that a request comes from; behind the trusted server, the one that it names."""
    address = str(getattr(request.getClientAddress(), "host", ""))
    forwarded = request.getHeader("x-forwarded-for")
    if forwarded and config.trusted_proxy is not None and address == config.trusted_proxy:
        # The last one is what our own server saw; what stands before, the client may have written.
        return str(forwarded).rpartition(",")[2].strip()[:64]
    return address


def bearer(request: Request) -> str:
    """Return the token of a request, empty if it has none."""
    value = str(request.getHeader("authorization") or "")
    return value.removeprefix(BEARER).strip() if value.startswith(BEARER) else ""


def reply(request: Request, answer: Answer, content_type: str = JSON) -> None:
    """Send an answer."""
    request.setResponseCode(answer.status)
    for name, value in answer.headers.items():
        request.setHeader(name, value)
    request.setHeader("cache-control", "no-store")
    request.setHeader("x-content-type-options", "nosniff")
    if answer.status != 204:
        request.setHeader("content-type", content_type)
        body = answer.text.encode()
        request.setHeader("content-length", str(len(body)))
        request.write(body)
    request.finish()


def run(request: Request, work: Coroutine[Any, Any, Answer | None]) -> int:
    """Answer a request by a coroutine; None: it has answered already. A client that went away is no error."""
    gone: list[bool] = []
    request.notifyFinish().addErrback(lambda _failure: gone.append(True))

    def answered(found: Answer | Failure | None) -> None:
        if isinstance(found, Failure):
            found = _told(found)
        if found is not None and not gone:
            reply(request, found)

    Deferred.fromCoroutine(work).addBoth(answered)
    return int(NOT_DONE_YET)


def _told(failure: Failure) -> Answer:
    if isinstance(failure.value, KalibriError):
        return refusal(failure.value)
    log.error("request failed: %s", failure.getTraceback())
    return Answer(jsonrpc.error_text(None, InternalError()), 500)


class LimitedRequest(Request):
    """A request of limited size: what is longer is read to its end, kept nowhere, and refused."""

    max_bytes = 16 * 1024 * 1024
    too_large = False
    _seen = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._seen += len(data)
        if self._seen > self.max_bytes:
            self.too_large = True
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


class RpcResource(Resource):
    """POST /v1/rpc."""

    isLeaf = True

    def __init__(self, config: ApiConfig, server: RpcServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config = config
        self._server = server

    def render_POST(self, request: Request) -> int:
        """Answer a text of JSON-RPC."""
        return run(request, self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        if getattr(request, "too_large", False):
            return too_large()
        content = request.content
        text = content.read() if content is not None else b""
        return await self._server.answer(text, token=bearer(request), address=peer(request, self._config))


def too_large() -> Answer:
    """Return the answer to a request that is too long."""
    error = ProtocolError("the request is too long (api.max_request_bytes)")
    return Answer(jsonrpc.error_text(None, error), 413)


class HealthResource(Resource):
    """GET /health: 200 as long as requests are served; the body says how the database is."""

    isLeaf = True

    def __init__(self, state: Callable[[], dict[str, Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._state = state

    def render_GET(self, request: Request) -> bytes:
        """Say how it goes."""
        request.setHeader("content-type", JSON)
        request.setHeader("cache-control", "no-store")
        return json.dumps(self._state()).encode()


class LimitedSite(Site):
    """A site with a limited number of connections."""

    def __init__(self, root: Resource, config: ApiConfig) -> None:
        request_class = type("ApiRequest", (LimitedRequest,), {"max_bytes": config.max_request_bytes})
        super().__init__(root, request_class, timeout=IDLE_SECONDS)  # type: ignore[no-untyped-call]
        self.displayTracebacks = False
        self._max_connections = config.max_connections
        self.connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Serve a connection, unless there are too many."""
        if self.connections >= self._max_connections:
            return None
        protocol: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        lost = protocol.connectionLost

        def connection_lost(reason: Any) -> None:
            self.connections -= 1
            lost(reason)

        self.connections += 1
        protocol.connectionLost = connection_lost
        return protocol

    def log(self, request: WireRequest) -> None:
        """Write no access log: addresses may carry tickets, and each change is in the audit log."""


def tree(children: dict[str, Any]) -> Resource:
    """Return a resource with these below it: {"v1/rpc": …}."""
    root = Resource()
    for path, resource in children.items():
        *folders, name = path.encode().split(b"/")
        place: Any = root
        for folder in folders:
            if folder not in place.children:
                place.putChild(folder, Resource())
            place = place.children[folder]
        place.putChild(name, resource)
    return root
