"""Where phones are registered, as the proxies tell each other by the table that Kamailio writes back each second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("location")


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy as its registrations name it."""

    #: Kamailio's server_id (kalibri.services.node.server_id).
    server_id: int
    #: In the node table.
    name: str
    #: URI of its internal socket.
    hop: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """An account that has phones at several proxies."""

    #: Address of record: sip:user@realm.
    aor: str
    #: Internal sockets of those proxies, of the asked ones, that live.
    hops: list[str]


def at_several_proxies(conn: Conn, *, proxies: Sequence[Proxy]) -> list[Place]:
    """Return the accounts with phones at more than one proxy that some are at one of these."""
    return db.fetch_all(
        conn,
        Place,
        SQL["at_several_proxies"],
        server_ids=[proxy.server_id for proxy in proxies],
        names=[proxy.name for proxy in proxies],
        hops=[proxy.hop for proxy in proxies],
    )
