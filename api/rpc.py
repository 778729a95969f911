"""Answers JSON-RPC texts: who asks, how often he may, which method, in which thread.

The reactor's thread only counts and hands over; everything that touches the database runs in the thread pool.
Without a token only rpc.discover and session.login are answered.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from api import jsonrpc, openrpc
from api.connections import Connections
from api.execution import Executor
from api.jsonrpc import Message, ProtocolError, Request, TooManyRequests
from api.limits import RateLimit
from api.method import BadParameters
from callcore.errors import KalibriError, Unavailable
from kalibri.config import ApiConfig
from kalibri.services import token as tokens
from kalibri.services.token import Principal, Unauthorized

#: How long a token that was right is believed without looking: how late a revocation may be, in seconds.
BELIEVED_SECONDS = 2.0
MAX_BELIEVED = 10_000
#: A burst is so many times what a second allows.
BURST = 2

LOGIN = "session.login"
DISCOVER = "rpc.discover"


@dataclass(frozen=True)
class Answer:
    """What goes back: empty text for notifications only."""

    text: str
    #: For HTTP.
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Somebody showed a wrong token or password: keys to be counted against.
    failed: tuple[str, ...] = ()


class Overloaded(Unavailable):
    """Too many requests wait already: try again."""

    error_id = "overloaded"


class Limits:
    """Everything that is counted; used on the reactor's thread only."""

    def __init__(self, config: ApiConfig, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = RateLimit(
            config.requests_per_second_per_token, BURST * config.requests_per_second_per_token
        )
        self._addresses = RateLimit(
            config.requests_per_second_per_address, BURST * config.requests_per_second_per_address
        )
        self._failures = RateLimit(config.failed_logins_per_minute / 60, config.failed_logins_per_minute)

    def admit(self, address: str, token: str, count: int) -> None:
        """Raise TooManyRequests if address or token has asked too often, or guessed."""
        now = self._clock()
        # A batch may hold more than a burst allows: it then waits for a full bucket, not for ever.
        wait = max(
            self._failures.wait(address, now),
            self._addresses.take(address, now),
            self._tokens.take(_digest(token), now, min(count, jsonrpc.MAX_BATCH)) if token else 0.0,
        )
        if wait > 0:
            raise TooManyRequests(wait)

    def admit_login(self, account: str) -> None:
        """Raise TooManyRequests if too many wrong passwords were tried for an account."""
        wait = self._failures.wait(account, self._clock())
        if wait > 0:
            raise TooManyRequests(wait)

    def failed(self, keys: tuple[str, ...]) -> None:
        """Count a wrong token or password."""
        for key in keys:
            self._failures.take(key, self._clock())


class RpcServer:
    """Answers for one process."""

    def __init__(
        self,
        config: ApiConfig,
        connections: Connections,
        executor: Executor,
        pool: ThreadPool,
        reactor: Any,
        document: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections = connections
        self._executor = executor
        self._pool = pool
        self._reactor = reactor
        self._document = document
        self._clock = clock
        self._waiting = 0
        self._max_waiting = config.max_waiting + config.threads
        self._believed: dict[str, tuple[Principal, float]] = {}
        self._lock = threading.Lock()
        self.limits = Limits(config, clock)
        self.served = 0

    # ------------------------------------------------------------------------------ on the reactor's thread

    async def answer(self, text: bytes | str, *, token: str, address: str) -> Answer:
        """Answer a text of JSON-RPC; never raises."""
        try:
            message = jsonrpc.parse(text)
            self.limits.admit(address, token, len(message.entries))
            for entry in message.entries:
                if isinstance(entry, Request) and entry.method == LOGIN:
                    self.limits.admit_login(_account(entry))
            answer: Answer = await self.in_thread(self._answer, message, token, address)
        except KalibriError as error:
            return refusal(error)
        self.limits.failed(answer.failed)
        self.served += len(message.entries)
        return answer

    async def principal(self, *, token: str, address: str) -> Principal:
        """Tell whose a token is; raises Unauthorized, TooManyRequests, Unavailable."""
        self.limits.admit(address, token, 1)
        known = self._known(token)  # a thousand listeners that come back together need no threads
        if known is not None:
            return known
        try:
            found: Principal = await self.in_thread(self.authenticate, token)
        except Unauthorized:
            self.limits.failed((address,))
            raise
        return found

    async def call(self, principal: Principal, method: str, params: Mapping[str, Any]) -> str:
        """Call a method for somebody who is known already; return its result as JSON. Raises KalibriError."""
        return str(await self.in_thread(self._executor.call, principal, method, params))

    def in_thread(self, do: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run something in the pool; raises Overloaded when too much waits already."""
        if self._waiting >= self._max_waiting:
            raise Overloaded()
        self._waiting += 1
        done = deferToThreadPool(self._reactor, self._pool, do, *arguments)

        def count(result: Any) -> Any:
            self._waiting -= 1
            return result

        return done.addBoth(count)

    # -------------------------------------------------------------------------------- in a thread of the pool

    def authenticate(self, token: str) -> Principal:
        """Tell whose a token is; raises Unauthorized."""
        known = self._known(token)
        if known is not None:
            return known
        now, key = self._clock(), _digest(token)
        with self._connections.system.lend() as conn:
            found = tokens.authenticate(conn, text=token)
        with self._lock:
            if len(self._believed) >= MAX_BELIEVED:
                self._believed.clear()
            self._believed[key] = (found, now + BELIEVED_SECONDS)
        return found

    def _known(self, token: str) -> Principal | None:
        """Return whose a token is if that was looked up a moment ago; any thread may ask."""
        with self._lock:
            known = self._believed.get(_digest(token))
        return known[0] if known is not None and known[1] > self._clock() else None

    def _answer(self, message: Message, token: str, address: str) -> Answer:
        failed: list[str] = []
        answers, status = [], 200
        for entry in message.entries:
            text, error = self._answer_one(entry, token)
            if isinstance(error, Unauthorized):
                status = 401
                failed.append(address)
                if isinstance(entry, Request) and entry.method == LOGIN:
                    failed.append(_account(entry))
            if text:
                answers.append(text)
        if not answers:
            return Answer("", 204, failed=tuple(failed))
        told = jsonrpc.batch_text(answers) if message.is_batch else answers[0]
        return Answer(told, 200 if message.is_batch else status, failed=tuple(failed))

    def _answer_one(self, entry: Request | ProtocolError, token: str) -> tuple[str, KalibriError | None]:
        """Return the answer to one request (empty for a notification), and what went wrong."""
        if isinstance(entry, ProtocolError):
            return jsonrpc.error_text(entry.request_id, entry), entry
        try:
            text = jsonrpc.result_text(entry.request_id, self._result(entry, token))
        except KalibriError as error:
            told = "" if entry.is_notification else jsonrpc.error_text(entry.request_id, error)
            return told, error
        return "" if entry.is_notification else text, None

    def _result(self, entry: Request, token: str) -> str:
        if entry.method == DISCOVER:
            return self._document
        if entry.method == LOGIN:
            return self._log_in(entry.params)
        if not token:
            raise Unauthorized("a token is needed: Authorization: Bearer ks_…")
        return self._executor.call(self.authenticate(token), entry.method, entry.params)

    def _log_in(self, params: Any) -> str:
        given = openrpc.LOGIN_METHOD.check(params if isinstance(params, dict) else {})
        with self._connections.acting(tenant_id=None, actor="session.login") as conn:
            made = openrpc.LOGIN_METHOD.do(conn, **given)
        return openrpc.LOGIN_METHOD.result.dump_json(made).decode()

    def forget(self, token: str) -> None:
        """Look at a token anew the next time."""
        with self._lock:
            self._believed.pop(_digest(token), None)


def refusal(error: KalibriError) -> Answer:
    """Return the answer to a text that is refused as a whole."""
    request_id = error.request_id if isinstance(error, ProtocolError) else None
    status, headers = 200, {}
    if isinstance(error, TooManyRequests):
        status, headers = 429, {"Retry-After": str(max(1, round(error.retry_after_seconds)))}
    elif isinstance(error, Unauthorized):
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, Unavailable):
        status, headers = 503, {"Retry-After": "1"}
    elif isinstance(error, ProtocolError | BadParameters):
        status = 400
    return Answer(jsonrpc.error_text(request_id, error), status, headers)


def _account(entry: Request) -> str:
    params = entry.params if isinstance(entry.params, dict) else {}
    return json.dumps([str(params.get("place"))[:100].lower(), str(params.get("username"))[:100].lower()])


def _digest(token: str) -> str:
    """The key under which a token is remembered: memory holds no secret in plain text longer than needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
