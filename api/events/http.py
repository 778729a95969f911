"""Events over HTTP: a stream of Server-Sent Events, and a request that waits for the next ones.

    GET /v1/events[?after=N|&snapshot=1][&kind=call.*][&queue=7][&agent=3]     text/event-stream
    GET /v1/events/poll?after=N[&wait=25][&kind=…]                              {"events": […], "after": N}

The token comes in the header Authorization, or as ?ticket= (session.ticket). The id of each event is where to
go on after it: the header Last-Event-ID, which browsers send by themselves, or ?after=.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request

from api.events.event import Batch, Filter, make_filter, reset_data
from api.events.feed import Feed, Listener
from api.http import bearer, peer, run
from api.rpc import Answer, RpcServer
from callcore.errors import BadInput
from callcore.states import ApiScope
from kalibri.config_sections import ApiConfig
from kalibri.services.token import Forbidden, Principal

log = logging.getLogger("ks-api")

STREAM = "text/event-stream; charset=utf-8"
LONGEST_WAIT = 60.0
DEFAULT_WAIT = 25.0


def arguments(request: Request, name: str) -> list[str]:
    """Return the values of a parameter of the address."""
    values = (request.args or {}).get(name.encode(), [])
    return [value.decode("utf-8", "replace") for value in values]


def one(request: Request, name: str) -> str | None:
    """Return the last value of a parameter, None if it is not given."""
    return next(reversed(arguments(request, name)), None)


def number(text: str | None, what: str) -> int | None:
    """Read a number of an event; raises BadInput."""
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadInput(f"{what}: {text[:100]!r} is no number of an event")
    return int(text)


async def asking(server: RpcServer, config: ApiConfig, request: Request) -> Principal:
    """Tell who asks: by the header, or by a ticket in the address. Raises Unauthorized, Forbidden."""
    ticket = one(request, "ticket") or ""
    found = await server.principal(token=bearer(request) or ticket, address=peer(request, config))
    if not bearer(request) and found.ticket_of is None:
        raise Forbidden("only a ticket may stand in an address, for addresses get into logs: session.ticket")
    return found


def chosen_by(principal: Principal, kinds: Any, queues: Any, agents: Any) -> Filter:
    """Return what somebody listens to, within what he may; raises Forbidden, BadInput."""
    if not (principal.may(ApiScope.READ) or principal.account is not None):
        raise Forbidden("listening needs the scope read")
    return make_filter(
        tenant_id=None if principal.is_system else principal.tenant_id,
        account=principal.account,
        kinds=kinds,
        queues=queues,
        agents=agents,
    )


def filter_of(request: Request, principal: Principal) -> Filter:
    """Return what a request listens to."""
    kinds = [kind for value in arguments(request, "kind") for kind in value.split(",")]
    return chosen_by(principal, kinds, arguments(request, "queue"), arguments(request, "agent"))


class _Stream:
    """A listener's connection."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def send(self, batch: Batch) -> None:
        self._request.write(batch.sse)

    def alive(self, head: int) -> None:
        # The id is kept by the client, though nothing is told: a quiet listener does not fall behind.
        self._request.write(f": alive\nid: {head}\n\n".encode())

    def reset(self, head: int, reason: str) -> None:
        self._request.write(f"id: {head}\nevent: reset\ndata: {reset_data(head, reason)}\n\n".encode())

    def end(self, reason: str) -> None:
        self._request.write(f"event: end\ndata: {json.dumps({'reason': reason})}\n\n".encode())
        self._request.unregisterProducer()
        self._request.finish()


class StreamResource(Resource):
    """GET /v1/events."""

    def __init__(self, config: ApiConfig, server: RpcServer, feed: Feed) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config = config
        self._server = server
        self._feed = feed

    def render_GET(self, request: Request) -> int:
        """Begin a stream."""
        return run(request, self._begin(request))

    async def _begin(self, request: Request) -> None:
        gone: list[bool] = []
        finished = request.notifyFinish()
        finished.addErrback(lambda _failure: gone.append(True))
        principal = await asking(self._server, self._config, request)
        chosen = filter_of(request, principal)
        header = request.getHeader("last-event-id")
        after = number(str(header) if header else one(request, "after"), "after")
        state = ""
        if one(request, "snapshot") and after is None:
            state = await self._server.call(principal, "event.snapshot", {})
            after = json.loads(state)["after"]
        if gone:
            return
        self._head(request)
        if state:
            request.write(f"id: {after}\nevent: snapshot\ndata: {state}\n\n".encode())
        listener = self._feed.add(chosen, after, _Stream(request), principal.lasting_id)
        request.registerProducer(listener, True)
        request.notifyFinish().addBoth(lambda _result: self._over(request, listener))

    @staticmethod
    def _head(request: Request) -> None:
        request.setHeader("content-type", STREAM)
        request.setHeader("cache-control", "no-store")
        request.setHeader("x-accel-buffering", "no")  # nginx would keep events back
        request.write(b"retry: 1000\n\n")

    def _over(self, request: Request, listener: Listener) -> None:
        self._feed.remove(listener)


class _Once:
    """A listener who waits for the next events and goes."""

    def __init__(self) -> None:
        self.done: Deferred[tuple[str, int, bool]] = Deferred()

    def send(self, batch: Batch) -> None:
        self._tell(batch.array, batch.upto, lost=False)

    def alive(self, head: int) -> None:
        """Wait on."""

    def reset(self, head: int, reason: str) -> None:
        self._tell("[]", head, lost=True)

    def end(self, reason: str) -> None:
        self._tell("[]", -1, lost=False)

    def _tell(self, events: str, after: int, *, lost: bool) -> None:
        if not self.done.called:
            self.done.callback((events, after, lost))


class PollResource(Resource):
    """GET /v1/events/poll, for clients that cannot read streams."""

    isLeaf = True

    def __init__(self, config: ApiConfig, server: RpcServer, feed: Feed, reactor: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config = config
        self._server = server
        self._feed = feed
        self._reactor = reactor

    def render_GET(self, request: Request) -> int:
        """Wait for events."""
        return run(request, self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        principal = await asking(self._server, self._config, request)
        chosen = filter_of(request, principal)
        after = number(one(request, "after"), "after")
        wait = _seconds(one(request, "wait"))
        once = _Once()
        begun = self._feed.head if after is None else after
        listener = self._feed.add(chosen, begun, once, principal.lasting_id)
        timer = deferLater(self._reactor, wait, once.end, "time is up")
        timer.addErrback(lambda _cancelled: None)
        request.notifyFinish().addErrback(lambda _failure: once.end("gone"))
        try:
            events, upto, lost = await once.done
        finally:
            timer.cancel()
            place = listener.cursor if not listener.live else self._feed.head
            self._feed.remove(listener)
        upto = upto if upto >= 0 else max(place or 0, 0)
        return Answer(f'{{"events":{events},"after":{upto},"lost":{json.dumps(lost)}}}')


def _seconds(text: str | None) -> float:
    if text is None:
        return DEFAULT_WAIT
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise BadInput(f"wait: {text[:100]!r} is no number of seconds")
    return min(float(text), LONGEST_WAIT)
