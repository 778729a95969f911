"""What the proxies tell each other of watched lines, over the database, twice a second. Shell; a process of its own.

A lamp must show its line's calls and phones wherever these are. So each proxy says which lines are watched there,
and tells of lines that others watch what it has itself: nothing is written for others, and nothing in the way of a
call. What a proxy told counts until it gives no sign of life for 8 s; while the database is away, lamps stay as they
are for GIVE_UP_SECONDS, and then show this proxy's own calls only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from callcore.errors import KalibriError
from callcore.presence import LineState
from kalibri.db import Conn
from kalibri.services import line
from kalibri.services.line import Line, LineAt, Wanted
from kemi import line_state, lines, peers, presence
from kemi.acd_events import proxy_name
from kemi.tenancy import aor, tenant_by_id
from kemi.worker import Worker

#: The others may be dead, too: then their calls would be shown for ever.
GIVE_UP_SECONDS = 60


@dataclass
class _Known:
    """What this process remembers from one look to the next."""

    #: Lines that are followed.
    followed: set[Line] = field(default_factory=set)
    #: Lines of which the table "line" says what others have.
    elsewhere: set[Line] = field(default_factory=set)
    #: Lines that other proxies watch.
    wanted: set[Line] = field(default_factory=set)
    #: Monotonic seconds at which the database answered last.
    answered_at: float = 0.0
    #: The calls that have outlived a restart are taken up.
    begun: bool = False


_known = _Known()


def tick(worker: Worker) -> None:
    """Look once: tell and ask the others, and begin or cease to follow lines."""
    worker.refresh_directory()
    if not _known.begun:
        _begin(worker)
    followed = line_state.followed(worker)
    watched = [one for one in followed if presence.is_watched(worker, *one)]
    others = bool(peers.nodes(worker))
    if others:
        _exchange(worker, watched)
    wanted = _known.wanted if others else set()
    for one in wanted - followed:
        line_state.follow(worker, *one)
    lines.gather(worker, (followed | wanted) - _known.followed)
    for one in followed - set(watched) - wanted:
        presence.drop_unwatched(worker, *one)
    _known.followed = {*watched, *wanted}


def _begin(worker: Worker) -> None:
    """Take up what was before a restart; tried again until the database answers."""
    own = worker.config.proxy
    ports = (
        ("udp", own.sip_port),
        ("tcp", own.sip_port),
        ("tls", own.tls_port),
        ("udp", own.internal_port),
    )
    sockets = [f"{transport}:{own.listen_address}:{port}" for transport, port in ports]
    try:
        worker.acd.run(line.tidy)
        found = worker.acd.run(lambda conn: line.dialogs(conn, sockets=sockets))
    except KalibriError:
        return
    lines.restore(worker, found)
    _known.begun, _known.followed = True, set()


def _exchange(worker: Worker, watched: list[Line]) -> None:
    now = time.monotonic()
    try:
        wanted, found = worker.acd.run(lambda conn: _ask(worker, conn, watched))
    except KalibriError:
        if now - _known.answered_at > GIVE_UP_SECONDS:
            _keep(worker, watched, [])
        return
    _known.answered_at = now
    _known.wanted = wanted
    _keep(worker, watched, found)


def _ask(worker: Worker, conn: Conn, watched: list[Line]) -> tuple[set[Line], list[LineAt]]:
    """Tell what this proxy has; return which lines others watch, and what they have of those watched here."""
    proxy = proxy_name(worker)
    wanted = line.wanted(conn, proxy=proxy)
    told, gone = _news(worker, wanted)
    line.tell(conn, proxy=proxy, lines=told, gone=gone)
    line.watch(conn, proxy=proxy, lines=watched)
    found = line.elsewhere(conn, proxy=proxy, lines=watched) if watched else []
    return {(one.tenant_id, one.username) for one in wanted if one.watched}, found


def _news(worker: Worker, wanted: Iterable[Wanted]) -> tuple[list[LineAt], list[Line]]:
    """Return of which lines something else is so than was told, and of which nothing is left to tell."""
    told: list[LineAt] = []
    gone: list[Line] = []
    for one in wanted:
        now = _state(worker, one.tenant_id, one.username) if one.watched else None
        if now is None:
            if one.registered is not None:
                gone.append((one.tenant_id, one.username))
        elif (now.registered, now.calls) != (one.registered, one.calls):
            told.append(now)
    return told, gone


def _state(worker: Worker, tenant_id: int, username: str) -> LineAt | None:
    """Return what this proxy has of a line; None: nothing."""
    tenant = tenant_by_id(worker.directory.system, tenant_id)
    registered = tenant is not None and worker.port.is_registered(aor(username, tenant.realm))
    calls = line_state.own(worker, tenant_id, username)
    if not registered and not calls:
        return None
    return LineAt(tenant_id=tenant_id, username=username, registered=registered, calls=calls)


def _keep(worker: Worker, watched: list[Line], found: list[LineAt]) -> None:
    """Keep what others have of the lines that are watched here, and tell the watchers."""
    states: dict[Line, tuple[bool, dict[str, Any]]] = {one: (False, {}) for one in _known.elsewhere}
    for state in found:
        one = (state.tenant_id, state.username)
        registered, calls = states.get(one, (False, {}))
        states[one] = (registered or state.registered, _joined(calls, state.calls))
    for one, (registered, calls) in states.items():
        if line_state.keep_elsewhere(worker, *one, registered=registered, calls=calls) and one in watched:
            presence.tell(worker, *one)
    _known.elsewhere = {one for one, (registered, calls) in states.items() if registered or calls}


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the calls of both; a call that both have is answered if one of them says so."""
    answered = {call_id: told for call_id, told in one.items() if told[0] == LineState.CONFIRMED}
    return {**one, **other, **answered}
