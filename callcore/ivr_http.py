"""Look-ups of scenarios at web servers: which host may be asked, which address may be connected to. Pure.

A tenant's allow-list names hosts. A name leads to addresses that somebody else controls (DNS), so the addresses are
judged too, for every connection and every redirect: loopback, private, link-local (cloud metadata), multicast and the
like are refused, unless the entry of this host says that it is private.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from callcore.errors import Refused
from callcore.ivr_model import Http, Wanted
from callcore.ivr_values import TYPES, fill, pick
from callcore.net_address import is_of_server, is_public

LONGEST_URL = 2000


class HostNotAllowed(Refused):
    """The tenant's allow-list does not name this host, or the address is not public."""

    error_id = "host-not-allowed"


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of a tenant's allow-list."""

    #: Host name in lower case, "*.example.org" for all names below, or an address.
    host: str
    #: 0: 80 and 443.
    port: int = 0
    #: It may have private addresses.
    private: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, ready: no variables in it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    #: JSON text, "" for none.
    body: str = ""
    timeout_seconds: float = 3.0
    retries: int = 0
    cache_seconds: float = 0.0

    @property
    def cache_key(self) -> tuple[object, ...]:
        """Equal for requests whose answers are interchangeable."""
        return self.method, self.url, self.headers, self.body


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    #: Path with query, as it is sent.
    path: str
    allowed: Allowed = field(default_factory=lambda: Allowed(""))


def find_allowed(entries: Iterable[Allowed], host: str, port: int) -> Allowed | None:
    """Return the entry that allows a host at a port; None: there is none. An exact name goes before a pattern."""
    host = host.lower().rstrip(".")
    fitting = [
        entry
        for entry in entries
        if (port in (80, 443) if entry.port == 0 else port == entry.port)
        and (entry.host == host or (entry.host.startswith("*.") and host.endswith(entry.host[1:])))
    ]
    return min(fitting, key=lambda entry: entry.host.startswith("*."), default=None)


def target_of(url: str, entries: Iterable[Allowed]) -> Target:
    """Return where a URL leads; raises HostNotAllowed when it may not be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise HostNotAllowed(f"no URL: {url[:100]!r}") from error
    host = (parts.hostname or "").lower().rstrip(".")
    if (
        parts.scheme not in ("http", "https")
        or not host
        or len(url) > LONGEST_URL
        or parts.username is not None
    ):
        raise HostNotAllowed(f"not a plain http or https URL: {url[:100]!r}")
    if not all(33 <= ord(char) < 127 for char in url):
        raise HostNotAllowed("a URL is printable ASCII")
    allowed = find_allowed(entries, host, port)
    if allowed is None:
        raise HostNotAllowed(f"{host}:{port} is not in the tenant's allow-list", host=host, port=port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, allowed)


def check_address(text: str, allowed: Allowed) -> None:
    """Raise HostNotAllowed for an address that must not be connected to."""
    if not is_of_server(text):
        raise HostNotAllowed(f"{text} is no address of a server")
    if not allowed.private and not is_public(text):
        raise HostNotAllowed(f"{allowed.host} leads to the private address {text}", address=text)


def request_of(node: Http, variables: Mapping[str, str]) -> Request:
    """Return the request of a node; values are encoded, so none of them can change where it goes."""

    def encoded(value: str) -> str:
        return quote(value, safe="")

    headers = tuple((name, _one_line(fill(text, variables))) for name, text in sorted(node.headers.items()))
    body = {name: fill(text, variables) for name, text in node.body.items()}
    return Request(
        node.method,
        fill(node.url, variables, encoded),
        headers,
        json.dumps(body, ensure_ascii=False, sort_keys=True) if node.method == "POST" else "",
        node.timeout_seconds,
        node.retries,
        node.cache_seconds,
    )


def _one_line(text: str) -> str:
    return "".join(char if 32 <= ord(char) < 127 else "?" for char in text)


def picked(data: Any, into: Mapping[str, Wanted]) -> dict[str, str] | str:
    """Return the wanted values of an answer, or a text that says what is wrong with it."""
    found: dict[str, str] = {}
    for name, wanted in into.items():
        value = pick(data, wanted.path)
        if value is None:
            return f'the answer has no "{wanted.path}"'
        if not TYPES[wanted.type](value):
            return f'"{wanted.path}" of the answer is no {wanted.type}'
        found[name] = value
    return found
