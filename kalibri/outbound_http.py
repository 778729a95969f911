"""Requests to addresses that tenants choose: never into our own network, never longer or larger than said.

Each address that a name resolves to is judged, and the one that was judged is the one that is connected to, so no
name server can change its mind in between. A redirect is a new address with the same rules; secrets in headers are
for the server that was named, and nothing goes from https to http. Whoever calls says where a URL may lead and which
addresses may be asked (`Way`), for tenants never do. Blocks: run it in a thread.

Used by webhooks (api/webhooks.py), the look-up of callers (kalibri/services/caller.py) and scenarios
(kalibri/ivr_fetch.py).
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import math
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from callcore.net_address import is_public, plain

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: (host, port) → addresses; raises OSError.
Resolve = Callable[[str, int], list[str]]
#: (host, its addresses) → those that may be connected to; raises when there is none.
Judge = Callable[[str, list[str]], list[str]]

AGENT = "Kalibri"
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 65_536
#: Objects in objects of an answer.
MAX_DEPTH = 10
#: The other side knows nothing of whom we ask for; that is an answer.
NOTHING_KNOWN = (204, 404)
REDIRECTS = (301, 302, 303, 307, 308)


class NotFetched(Exception):
    """There is no usable answer; the text says why, for people."""


class NoAnswer(NotFetched):
    """The server was not reached, or broke off: it may answer the next time."""


class TookTooLong(NoAnswer):
    """The time was over before the answer was there."""

    def __init__(self) -> None:
        super().__init__("took too long")


@dataclass(frozen=True)
class Reach:
    """Which addresses may be connected to, besides public ones."""

    networks: tuple[Network, ...] = ()
    everywhere: bool = False

    def allows(self, address: str) -> bool:
        """Tell whether an IP address may be connected to."""
        return self.everywhere or is_public(address) or any(plain(address) in net for net in self.networks)

    def judge(self, host: str, addresses: list[str]) -> list[str]:
        """Return the addresses that may be connected to; raises NotFetched if there is none."""
        allowed = [address for address in addresses if self.allows(address)]
        if not allowed:
            raise NotFetched(f"{host} has no public address")
        return allowed


def networks_of(text: str) -> tuple[Network, ...]:
    """Read networks with blanks or commas between: 10.1.0.0/16 192.168.7.5; raises ValueError."""
    return tuple(ipaddress.ip_network(word) for word in text.replace(",", " ").split())


# ---------------------------------------------------------------------------------------------- connect


def connected(
    host: str,
    port: int,
    *,
    tls: bool,
    judge: Judge,
    timeout_seconds: float,
    resolver: Resolve | None = None,
    context: ssl.SSLContext | None = None,
) -> socket.socket:
    """Connect to the first address of a name that may be asked and answers.

    context: of TLS; None: the machine's authorities. Raises what `judge` does, OSError, ValueError.
    """
    deadline = time.monotonic() + timeout_seconds
    addresses = judge(host, _resolved(host, port, timeout_seconds, resolver or resolve))
    wire = _first_that_answers(addresses, port, deadline)
    if not tls:
        return wire
    try:
        wire.settimeout(_left(deadline))
        return (context or ssl.create_default_context()).wrap_socket(wire, server_hostname=host)
    except BaseException:
        wire.close()
        raise


def _first_that_answers(addresses: list[str], port: int, deadline: float) -> socket.socket:
    trouble = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), _left(deadline))
        except OSError as error:
            trouble = error
    raise trouble


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolved(host: str, port: int, timeout_seconds: float, resolver: Resolve) -> list[str]:
    """Resolve a name within a time: the resolver itself knows none, so it runs in a thread that may be left."""
    box: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            box.put(resolver(host, port))
        except Exception as error:
            box.put(error)

    threading.Thread(target=look, name="resolve", daemon=True).start()
    try:
        found = box.get(timeout=timeout_seconds)
    except queue.Empty:
        raise TimeoutError(f"{host} was not resolved in time") from None
    if isinstance(found, Exception):
        raise found
    return found


def _left(deadline: float) -> float:
    """Return the seconds that are left; raises TimeoutError when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left


@contextmanager
def hung_up_after(wire: socket.socket, seconds: float) -> Iterator[None]:
    """End a conversation when its time is over, however slowly the other side goes on."""
    late = threading.Timer(max(0.001, seconds), _hang_up, [wire])
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


def _hang_up(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        wire.shutdown(socket.SHUT_RDWR)


# ------------------------------------------------------------------------------------------------- ask


@dataclass(frozen=True)
class Place:
    """Where one request goes."""

    scheme: str
    host: str
    port: int
    #: Path with query, as it is sent.
    path: str
    #: The whole URL.
    url: str

    def is_server_of(self, other: Place) -> bool:
        """Tell whether `other` is the same server, on the way from http to https perhaps: it may know our secrets."""
        if self.host != other.host:
            return False
        upgraded = (self.scheme, self.port, other.scheme, other.port) == ("http", 80, "https", 443)
        return upgraded or (self.scheme, self.port) == (other.scheme, other.port)


@dataclass(frozen=True)
class Way:
    """Where URLs may lead, and how one gets there."""

    #: Returns where a URL leads and who judges the addresses of its name; raises when it may not be asked.
    locate: Callable[[str], tuple[Place, Judge]]
    resolver: Resolve | None = None
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked."""

    url: str
    method: str = "GET"
    #: They may hold a secret.
    headers: Mapping[str, str]
    #: Sent with POST.
    body: bytes | None = None
    agent: str = AGENT


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    #: No more than one byte over MAX_ANSWER_BYTES.
    body: bytes
    location: str
    #: The server hung up before all had come that it had told of.
    cut_off: bool = False


def ask(question: Question, way: Way, *, timeout_seconds: float) -> Answer:
    """Ask, and follow redirects; timeout_seconds is for everything together. Raises NotFetched, what `way` raises."""
    deadline = time.monotonic() + timeout_seconds
    here, judge = start, _ = way.locate(question.url)
    method, body = question.method, question.body
    for _hop in range(MAX_REDIRECTS + 1):
        own = question.headers if start.is_server_of(here) else {}
        told = {"Accept": "application/json", "User-Agent": question.agent, "Connection": "close", **own}
        answer = _exchange(here, method, told, body, deadline, way, judge)
        if answer.status not in REDIRECTS:
            return answer
        if not answer.location:
            raise NotFetched(f"answered {answer.status} without Location")
        following, judge = way.locate(urljoin(here.url, answer.location))
        if (here.scheme, following.scheme) == ("https", "http"):
            raise NotFetched("redirected from https to http")
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = "GET", None
        here = following
    raise NotFetched(f"followed redirects more than {MAX_REDIRECTS} times")


def _exchange(
    place: Place,
    method: str,
    headers: dict[str, str],
    body: bytes | None,
    deadline: float,
    way: Way,
    judge: Judge,
) -> Answer:
    """Send one request; return the beginning of the answer."""
    connection = http.client.HTTPConnection(place.host, place.port)
    try:
        wire = connection.sock = connected(
            place.host,
            place.port,
            tls=place.scheme == "https",
            judge=judge,
            timeout_seconds=_left(deadline),
            resolver=way.resolver,
            context=way.context,
        )
        wire.settimeout(_left(deadline))
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        with hung_up_after(wire, _left(deadline)):
            connection.request(method, place.path, body, headers)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER_BYTES + 1)
        _left(deadline)  # an answer without a length ends where it was hung up
        cut_off = bool(answer.length) and len(content) <= MAX_ANSWER_BYTES  # read() does not raise for it
        return Answer(answer.status, content, answer.getheader("location") or "", cut_off)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            raise TookTooLong from error
        raise NoAnswer(f"{place.host}: {type(error).__name__}: {error}"[:300]) from error
    finally:
        connection.close()


def locate(url: str) -> Place:
    """Return where a URL of http or https leads; raises NotFetched."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise NotFetched(f"no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise NotFetched("no address of http or https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, parts.hostname, port, path, url)


# ------------------------------------------------------------------------------------------------ fetch


def fetch_json(
    url: str, *, headers: Mapping[str, str], timeout_seconds: float, reach: Reach
) -> dict[str, Any]:
    """Get an object of JSON; empty when the other side knows nothing. Raises NotFetched, whatever happens.

    timeout_seconds: for everything together, redirects too. headers go to the server that was asked for only.
    """
    way = Way(lambda text: (locate(text), reach.judge))
    answer = ask(Question(url=url, headers=headers), way, timeout_seconds=timeout_seconds)
    if answer.status in NOTHING_KNOWN:
        return {}
    if answer.status != 200:
        raise NotFetched(f"answered {answer.status}")
    return read_object(answer.body)


def read_object(text: bytes) -> dict[str, Any]:
    """Read an object of JSON as the database can store it; raises NotFetched."""
    if len(text) > MAX_ANSWER_BYTES:
        raise NotFetched(f"answered more than {MAX_ANSWER_BYTES} bytes")
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise NotFetched("answered no JSON") from error
    if not isinstance(found, dict):
        raise NotFetched("answered no object of JSON")
    cleaned: dict[str, Any] = _clean(found, MAX_DEPTH)
    return cleaned


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _number(word: str) -> float:
    value = float(word)
    return value if math.isfinite(value) else _no_number(word)


def _clean(value: Any, depth: int) -> Any:
    """Take out what PostgreSQL's jsonb refuses: NUL, halves of surrogate pairs."""
    if depth == 0:
        raise NotFetched(f"answered objects nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_clean(name, depth): _clean(item, depth - 1) for name, item in value.items()}
    return value
