"""Requests to addresses that tenants choose: never into our own network, never longer or larger than said.

Decides where a name may lead: each address that it resolves to is looked at, and the one that was looked at is
the one that is connected to, so no name server can change its mind in between. A redirect is a new address with
the same rules. Whoever calls says which private networks are allowed, for tenants never do.

Used by webhooks (api/webhooks.py) and by the look-up of callers (kalibri/services/caller.py).
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

AGENT = "Kalibri"
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 65_536
#: Objects in objects of an answer.
MAX_DEPTH = 10
#: The other side knows nothing of whom we ask for; that is an answer.
NOTHING_KNOWN = (204, 404)
REDIRECTS = (301, 302, 303, 307, 308)

#: IPv6 that carries an IPv4 address which nobody has checked.
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class NotFetched(Exception):
    """There is no usable answer; the text says why, for people."""


@dataclass(frozen=True)
class Reach:
    """Which addresses may be connected to, besides public ones."""

    networks: tuple[Network, ...] = ()
    everywhere: bool = False

    def allows(self, address: str) -> bool:
        """Tell whether an IP address may be connected to."""
        return self.everywhere or is_public(address) or any(_plain(address) in net for net in self.networks)


def networks_of(text: str) -> tuple[Network, ...]:
    """Read networks with blanks or commas between: 10.1.0.0/16 192.168.7.5; raises ValueError."""
    return tuple(ipaddress.ip_network(word) for word in text.replace(",", " ").split())


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the open net: not of this machine, a private network or a trick."""
    found: Any = _plain(address)
    inner = getattr(found, "sixtofour", None)
    if inner is not None:
        return is_public(str(inner))
    if getattr(found, "teredo", None) or any(found in network for network in _TRANSLATED):
        return False
    return bool(found.is_global and not found.is_multicast and not found.is_reserved)


# ---------------------------------------------------------------------------------------------- connect


def connected(host: str, port: int, *, tls: bool, reach: Reach, timeout_seconds: float) -> socket.socket:
    """Connect to the first allowed address of a name; raises NotFetched if there is none, OSError, ValueError."""
    deadline = time.monotonic() + timeout_seconds
    allowed = [address for address in _resolved(host, port, timeout_seconds) if reach.allows(address)]
    if not allowed:
        raise NotFetched(f"{host} has no public address")
    wire = socket.create_connection((allowed[0], port), max(0.001, deadline - time.monotonic()))
    if not tls:
        return wire
    try:
        wire.settimeout(max(0.001, deadline - time.monotonic()))
        return ssl.create_default_context().wrap_socket(wire, server_hostname=host)
    except BaseException:
        wire.close()
        raise


def _resolved(host: str, port: int, timeout_seconds: float) -> list[str]:
    """Resolve a name within a time: the resolver itself knows none, so it runs in a thread that may be left."""
    box: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            box.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except Exception as error:
            box.put(error)

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        found = box.get(timeout=timeout_seconds)
    except queue.Empty:
        raise TimeoutError(f"{host} was not resolved in time") from None
    if isinstance(found, Exception):
        raise found
    return [str(entry[4][0]) for entry in found]


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


# ------------------------------------------------------------------------------------------------ fetch


@dataclass(frozen=True)
class _Place:
    """Where one request goes."""

    scheme: str
    host: str
    port: int
    path: str
    text: str = field(compare=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def _place(url: str) -> _Place:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise NotFetched(f"no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise NotFetched("no address of http or https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(parts.scheme, parts.hostname, port, path, url)


def fetch_json(
    url: str, *, headers: Mapping[str, str], timeout_seconds: float, reach: Reach
) -> dict[str, Any]:
    """Get an object of JSON; empty when the other side knows nothing. Raises NotFetched, whatever happens.

    timeout_seconds: for everything together, redirects too. headers go to the host that was asked for only.
    """
    deadline = time.monotonic() + timeout_seconds
    here = start = _place(url)
    for _ in range(MAX_REDIRECTS + 1):
        own = headers if here.origin == start.origin else {}
        status, text, target = _get(here, own, deadline, reach)
        if status in NOTHING_KNOWN:
            return {}
        if status == 200:
            return read_object(text)
        if status not in REDIRECTS or not target:
            raise NotFetched(f"answered {status}")
        following = _place(urljoin(here.text, target))
        if (here.scheme, following.scheme) == ("https", "http"):
            raise NotFetched("redirected from https to http")
        here = following
    raise NotFetched(f"redirected more than {MAX_REDIRECTS} times")


def _get(place: _Place, headers: Mapping[str, str], deadline: float, reach: Reach) -> tuple[int, bytes, str]:
    """Send one request; return status, the beginning of the body and where it is redirected to."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise NotFetched("took too long")
    try:
        wire = connected(
            place.host, place.port, tls=place.scheme == "https", reach=reach, timeout_seconds=left
        )
    except (OSError, ValueError) as error:
        raise NotFetched(_told(error)) from error
    connection = http.client.HTTPConnection(place.host, place.port)
    connection.sock = wire
    told = {"Accept": "application/json", "User-Agent": AGENT, "Connection": "close", **headers}
    try:
        wire.settimeout(max(0.001, deadline - time.monotonic()))
        with hung_up_after(wire, deadline - time.monotonic()):
            connection.request("GET", place.path, headers=told)
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER_BYTES + 1)
            return answer.status, body, answer.getheader("location") or ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        late = deadline - time.monotonic() <= 0
        raise NotFetched("took too long" if late else _told(error)) from error
    finally:
        connection.close()


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "took too long"
    return f"{type(error).__name__}: {error}"[:300]


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
