"""Asks a web server for a scenario: one request with all its retries and redirects, within its time. Shell.

The name is resolved once, every address is judged (callcore/ivr_http.py), and the address that was judged is the one
connected to, so a name server that changes its mind gains nothing. Redirects begin anew, allow-list included. What is
too large, too slow, no JSON or no success is a failure with a reason; nothing is raised but LookupFailed. Blocks: run
it in a worker.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urljoin

from callcore.errors import KalibriError
from callcore.ivr_http import Allowed, HostNotAllowed, Request, Target, check_address, target_of

MOST_REDIRECTS = 3
LARGEST_BYTES = 64 * 1024
MOST_CACHED = 1000
#: A header line of a server, and how many of them.
_CHUNK_BYTES = 8192
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AGENT = "Kalibri-IVR"


class LookupFailed(KalibriError):
    """The web server did not answer as it should."""

    error_id = "lookup-failed"


#: (host, port) → addresses.
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Asks, and remembers answers for as long as the scenario says; may be used by several threads."""

    def __init__(self, *, resolver: Resolve = resolve, context: ssl.SSLContext | None = None) -> None:
        """context: of TLS; None: the machine's authorities."""
        self._resolve, self._context = resolver, context
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
        trouble = LookupFailed()
        for _ in range(request.retries + 1):
            try:
                return self._once(request, allowed)
            except _Passing as error:
                trouble = LookupFailed(str(error))
        raise trouble

    def _once(self, request: Request, allowed: tuple[Allowed, ...]) -> Any:
        deadline = time.monotonic() + request.timeout_seconds
        method, url, body = request.method, request.url, request.body
        for _ in range(MOST_REDIRECTS + 1):
            target = target_of(url, allowed)
            headers = {"Accept": "application/json", "User-Agent": _AGENT}
            # Headers may hold a secret: it is the first server's, not that of whoever it points to.
            if target.host == target_of(request.url, allowed).host:
                headers |= dict(request.headers)
            status, place, content = self._exchange(target, method, headers, body, deadline)
            if status not in _REDIRECTS:
                return _read_json(status, content)
            if not place:
                raise LookupFailed(f"{status} without Location")
            url = urljoin(url, place)
            if status == 303 or (status in (301, 302) and method == "POST"):
                method, body = "GET", ""
        raise LookupFailed(f"more than {MOST_REDIRECTS} redirects")

    def _exchange(
        self, target: Target, method: str, headers: dict[str, str], body: str, deadline: float
    ) -> tuple[int, str, bytes]:
        """Send one request; return status, Location and content."""
        connection = http.client.HTTPConnection(target.host, target.port)
        try:
            connection.sock = self._connect(target, deadline)
            data = body.encode() if method == "POST" else None
            if data is not None:
                headers = {**headers, "Content-Type": "application/json"}
            connection.request(method, target.path, data, {**headers, "Connection": "close"})
            watch = threading.Timer(max(0.001, _left(deadline)), _shut, [connection.sock])
            watch.start()  # a server that sends an octet now and then never runs into a timeout of one read
            try:
                response = connection.getresponse()
                with closing(response):
                    content = _read_body(response, deadline)
            finally:
                watch.cancel()
            return response.status, response.headers.get("Location", ""), content
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise _Passing("no answer in time") from error
            raise _Passing(f"{target.host}: {type(error).__name__}: {error}"[:200]) from error
        finally:
            connection.close()

    def _connect(self, target: Target, deadline: float) -> socket.socket:
        addresses = self._resolve(target.host, target.port)
        for address in addresses:  # one that must not be connected to condemns the name
            check_address(address, target.allowed)
        trouble: OSError = OSError("the name has no address")
        for address in addresses:
            try:
                plain = socket.create_connection((address, target.port), timeout=_left(deadline))
                break
            except OSError as error:
                trouble = error
        else:
            raise trouble
        if target.scheme == "http":
            return plain
        try:
            context = self._context or ssl.create_default_context()
            return context.wrap_socket(plain, server_hostname=target.host)
        except OSError:
            plain.close()
            raise


class _Passing(Exception):
    """It may work the next time."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def _read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    content = b""
    while chunk := response.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > LARGEST_BYTES:
            raise LookupFailed(f"the answer is larger than {LARGEST_BYTES} octets")
        _left(deadline)
    _left(deadline)
    return content


def _read_json(status: int, content: bytes) -> Any:
    if status >= 500 or status == 429:
        raise _Passing(f"the server answered {status}")
    if not 200 <= status < 300:
        raise LookupFailed(f"the server answered {status}")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LookupFailed("the answer is no JSON") from error


__all__ = ["Fetcher", "HostNotAllowed", "LookupFailed"]
