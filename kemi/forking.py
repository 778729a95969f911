"""Points a call at all phones of its target at the same time, at this proxy and at the others. Shell.

An account mostly has its phones at one proxy: here, or it is looked for at the others, one after the other
(kemi/peers.py). Two kinds of targets ring at several proxies at once: an account that is known to have phones at more
than one (table "where", see `follow`), and a parallel hunt group. Each other proxy gets one INVITE for all whom it is
to ring: two of the same call would be a loop to it. It answers 480 when it has none of them, and the rest rings on.
"""

from __future__ import annotations

import json

from callcore.errors import KalibriError
from kalibri.services import location
from kalibri.services.node import server_id
from kemi import peers
from kemi.call_state import Target
from kemi.worker import Worker

#: Shared table: address of record that has phones at several proxies → internal sockets of the others.
WHERE = "where"
#: Transaction variable of an attempt at several accounts or proxies, else "": whose phones here the branches ring, in
#: their order, and whom each other proxy is asked for.
_FORK = "ks_fork"
#: Transaction variables: how many of these branches were sent; and, with the number of a branch, whose that is.
_SENT, MEMBER = "ks_sent", "ks_member_"


def aim(worker: Worker, target: Target) -> bool:
    """Point the request at the phones of an account, or of several; False when nobody can be rung."""
    port = worker.port
    if not target.also and not target.peers:
        _remember(worker, [], {})
        return port.set_ruri(target.uri) and port.lookup_contacts(target.uri)
    whose: list[str] = []
    asked: dict[str, list[str]] = {}
    for uri in (target.uri, *target.also.split()):
        name = uri.removeprefix("sip:").partition("@")[0]
        found = port.add_contacts(uri) if whose else port.set_ruri(uri) and port.lookup_contacts(uri)
        if found:
            whose += [name] * (1 + port.branch_count() - len(whose))
        for hop in _places(worker, target, uri, found=found):
            asked.setdefault(hop, []).append(name)
    if asked:
        _ask(worker, target, asked, first=not whose)
    is_plain = not asked and not target.also
    _remember(worker, [] if is_plain else whose, asked)
    return bool(whose or asked)


def _remember(worker: Worker, whose: list[str], asked: dict[str, list[str]]) -> None:
    """Keep what the branches are for; nothing: the attempt is at one account here, as most are."""
    port = worker.port
    if whose or asked:
        port.set_avp(_FORK, json.dumps([whose, asked]))
        port.set_avp(_SENT, "0")
    elif port.avp(_FORK):
        port.set_avp(_FORK, "")


def here(worker: Worker, target: Target) -> list[str]:
    """Return the user names of those whose phones an attempt rings at this proxy."""
    if target.kind != "account":
        return []
    text = worker.port.avp(_FORK)
    if not text:
        return [target.username] if target.username else []
    whose: list[str] = json.loads(text)[0]
    return list(dict.fromkeys(whose))


def winner(worker: Worker, target: Target, branch: str | None) -> str:
    """Return the user name of who answers an attempt; "" if it is no account, or another proxy alone knows which."""
    member = worker.port.avp(f"{MEMBER}{branch}")
    if member:
        return member
    is_one = target.kind in ("account", peers.PEER) and not target.rings_together and not target.also
    return (target.username or "") if is_one else ""


def _places(worker: Worker, target: Target, uri: str, *, found: bool) -> list[str]:
    """Return the other proxies at which an account is to ring at the same time."""
    hops = target.peers.split()
    known = worker.port.table_text(WHERE, uri) if hops else None
    if known is not None:
        return [hop for hop in hops if hop in known.split(" ")]
    return hops if target.rings_together and not found else []


def _ask(worker: Worker, target: Target, asked: dict[str, list[str]], *, first: bool) -> None:
    """Add a branch to each other proxy. first: there is no branch yet."""
    port, own = worker.port, worker.config.proxy
    realm = target.uri.rpartition("@")[2]
    for hop, names in asked.items():
        uri = f"sip:{names[0]}@{realm}"
        if first:
            port.set_ruri(uri)
            port.set_next_hop(hop)
            port.send_from("internal")
            first = False
        elif not port.add_branch(uri, hop, f"udp:{own.listen_address}:{own.internal_port}"):
            port.log_error(f"too many phones at once: {' '.join(names)} not rung at {hop}")


def begin_branch(worker: Worker) -> list[str]:
    """Note whose phone a branch rings; return the user names that it asks another proxy for, empty: it asks none."""
    port = worker.port
    text = port.avp(_FORK)
    if not text:
        return []
    whose, asked = json.loads(text)
    sent = port.number(f"$avp({_SENT})")
    port.set_avp(_SENT, str(sent + 1))
    port.set_avp(f"{MEMBER}{port.branch_index()}", whose[sent] if sent < len(whose) else "")
    names: list[str] = asked.get(port.text("$du"), []) if sent >= len(whose) else []
    return names


#: Addresses of record in the table, as this process (the only writer) has put them there.
_told: set[str] = set()


def follow(worker: Worker) -> None:
    """Learn which accounts have phones at several proxies; while the database is away, what was so stays so."""
    others = peers.nodes(worker)
    if not others and not _told:
        return
    proxies = [
        location.Proxy(server_id=server_id(str(node["host"])), name=str(node["name"]), hop=peers.hop_of(node))
        for node in others
    ]
    try:
        found = worker.acd.run(lambda conn: location.at_several_proxies(conn, proxies=proxies))
    except KalibriError:
        return
    for place in found:
        worker.port.table_set(WHERE, place.aor, " ".join(place.hops))
    now = {place.aor for place in found}
    for uri in _told - now:
        worker.port.table_remove(WHERE, uri)
    _told.clear()
    _told.update(now)
