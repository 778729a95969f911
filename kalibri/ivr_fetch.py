"""Asks a web server for a scenario: one request with all its retries, within its time, or what is remembered. Shell.

The tenant's allow-list says which hosts may be asked, and which of them may have private addresses
(callcore/ivr_http.py); it holds for what is remembered and for every redirect too. How one asks is outbound_http.py.
What is too large, too slow, no JSON or no success is a failure with a reason. Blocks: run it in a worker.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import OrderedDict
from typing import Any

from callcore.errors import KalibriError
from callcore.ivr_http import Allowed, HostNotAllowed, Request, check_address, target_of
from kalibri.outbound_http import (
    MAX_ANSWER_BYTES,
    Answer,
    Judge,
    NoAnswer,
    NotFetched,
    Place,
    Question,
    Resolve,
    TookTooLong,
    Way,
    ask,
)

MOST_CACHED = 1000
_AGENT = "Kalibri-IVR"


class LookupFailed(KalibriError):
    """The web server did not answer as it should."""

    error_id = "lookup-failed"


class Fetcher:
    """Asks, and remembers answers for as long as the scenario says; may be used by several threads."""

    def __init__(self, *, resolver: Resolve | None = None, context: ssl.SSLContext | None = None) -> None:
        """context: of TLS; None: the machine's authorities."""
        self._resolver, self._context = resolver, context
        self._cache: OrderedDict[tuple[object, ...], tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def fetch(self, tenant: int, request: Request, allowed: tuple[Allowed, ...]) -> Any:
        """Return the JSON of the answer; raises LookupFailed, HostNotAllowed."""
        target_of(request.url, allowed)  # also of what is remembered: the list may have changed
        key = (tenant, *request.cache_key)
        with self._lock:
            known = self._cache.get(key)
        if request.cache_seconds and known is not None and known[0] > time.monotonic():
            return known[1]
        data = self._with_retries(request, allowed)
        if request.cache_seconds:
            with self._lock:
                self._cache[key] = (time.monotonic() + request.cache_seconds, data)
                self._cache.move_to_end(key)
                while len(self._cache) > MOST_CACHED:
                    self._cache.popitem(last=False)
        return data

    def _with_retries(self, request: Request, allowed: tuple[Allowed, ...]) -> Any:
        """Try again what may work the next time: no answer, or an answer that says so."""
        way = Way(lambda url: _locate(url, allowed), self._resolver, self._context)
        body = request.body.encode() if request.method == "POST" else None
        question = Question(
            url=request.url, method=request.method, headers=dict(request.headers), body=body, agent=_AGENT
        )
        trouble = LookupFailed()
        for _ in range(request.retries + 1):
            try:
                return _read(ask(question, way, timeout_seconds=request.timeout_seconds))
            except TookTooLong:
                trouble = LookupFailed("no answer in time")
            except NoAnswer as error:
                trouble = LookupFailed(str(error))
            except NotFetched as error:
                raise LookupFailed(str(error)) from error
        raise trouble


def _locate(url: str, allowed: tuple[Allowed, ...]) -> tuple[Place, Judge]:
    """Return where a URL leads, if the list allows it; raises HostNotAllowed."""
    target = target_of(url, allowed)

    def judge(host: str, addresses: list[str]) -> list[str]:
        for address in addresses:  # one that must not be connected to condemns the name
            check_address(address, target.allowed)
        return addresses

    return Place(target.scheme, target.host, target.port, target.path, url), judge


def _read(answer: Answer) -> Any:
    """Return the JSON of an answer; raises LookupFailed, NoAnswer for what may be better the next time."""
    if answer.status >= 500 or answer.status == 429:
        raise NoAnswer(f"the server answered {answer.status}")
    if not 200 <= answer.status < 300:
        raise LookupFailed(f"the server answered {answer.status}")
    if len(answer.body) > MAX_ANSWER_BYTES:
        raise LookupFailed(f"the answer is larger than {MAX_ANSWER_BYTES} octets")
    if answer.cut_off:
        raise NoAnswer("the answer is shorter than the server says")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise LookupFailed("the answer is no JSON") from error


__all__ = ["Fetcher", "HostNotAllowed", "LookupFailed"]
