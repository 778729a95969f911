"""What ks-acd does: deadlines, opening hours, repairs against what proxies, phones and media hosts really do.

Each function is one look and safe to repeat; which are due, and who leads, is decided by tools/ks_acd.py. The
repairs themselves are SQL functions (docs/acd.md, sections 4 and 5), which write an event with the cause.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from callcore.cdr import text_of
from callcore.schedule import Schedule
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("acd")
#: Journal lines of outages are looked for so far back.
REPLAYED_HOURS = 48
#: Partitions that are made ahead.
DAYS_AHEAD = 3
#: States of a dialog: below it is being set up, above it talks.
DIALOG_CONFIRMED, DIALOG_ENDED = 3, 5
#: Why a command takes an agent out of a direct call although they talk.
RELEASED = "released"


@dataclass(frozen=True)
class _Tenant:
    tenant_id: int


@dataclass(frozen=True)
class _Host:
    name: str


@dataclass(frozen=True)
class _Hours:
    tenant_id: int
    queue_id: int
    is_open: bool
    callback_open: bool
    hours: Mapping[str, Any] | None
    callback_hours: Mapping[str, Any] | None


def try_to_lead(conn: Conn) -> bool:
    """Become the leader if there is none; the leadership ends with the connection."""
    return bool(db.fetch_value(conn, SQL["lead"]))


def do_what_is_due(conn: Conn) -> int:
    """Let every deadline that has come take effect, tenant by tenant; return how many transitions that were."""
    total = 0
    for row in db.fetch_all(conn, _Tenant, SQL["due"]):
        total += int(db.fetch_value(conn, SQL["tick"], tenant_id=row.tenant_id))
    return total


def seconds_to_deadline(conn: Conn) -> float | None:
    """Return seconds until the nearest deadline (negative: overdue), None if there is none."""
    found = db.fetch_value(conn, SQL["next_deadline"])
    return None if found is None else float(found)


def lose_silent_hosts(conn: Conn) -> int:
    """Repair what media hosts held that report no more; return how many entries that were."""
    hosts = db.fetch_all(conn, _Host, SQL["silent_hosts"])
    return sum(int(db.fetch_value(conn, SQL["lose_host"], host=host.name)) for host in hosts)


def replay_outages(conn: Conn) -> int:
    """Enter calls that came, or came and went, while the database was away; return how many lines were new.

    ks-cdr stores the lines; an outage longer than REPLAYED_HOURS is not replayed. A host that still holds such a
    call hands it over itself, before or after.
    """
    return int(db.fetch_value(conn, SQL["replay"], hours=REPLAYED_HOURS))


def check_phones(conn: Conn, *, proxies: bool = True) -> int:
    """Compare agents with registrations and with proxies that are gone; return how many differed.

    proxies: whether a proxy's silence means that it is gone.
    """
    gone = int(db.fetch_value(conn, SQL["check_proxies"])) if proxies else 0
    return gone + int(db.fetch_value(conn, SQL["check_registrations"]))


def apply_hours(conn: Conn, *, now: datetime) -> int:
    """Open and close queues by their schedules; return how many changed."""
    changed = 0
    for row in db.fetch_all(conn, _Hours, SQL["schedules"]):
        is_open, callback_open = _is_open(row.hours, now), _is_open(row.callback_hours, now)
        if (is_open, callback_open) != (row.is_open, row.callback_open):
            ids = {"tenant_id": row.tenant_id, "queue_id": row.queue_id}
            db.fetch_value(conn, SQL["set_open"], **ids, is_open=is_open, callback_open=callback_open)
            changed += 1
    return changed


def _is_open(hours: Mapping[str, Any] | None, now: datetime) -> bool:
    return hours is None or Schedule.from_json(hours).is_open(now)


def housekeeping(conn: Conn, *, today: date) -> None:
    """Make the partitions of the next days, and forget what is long done."""
    for days in range(DAYS_AHEAD + 1):
        db.fetch_value(conn, SQL["ensure_partition"], day=today + timedelta(days=days))
    db.fetch_value(conn, SQL["sweep"])


# ------------------------------------------------------------------------------------------ one proxy


@dataclass(frozen=True)
class DirectCall:
    """A dialog in which a proxy rings an agent itself, or rang him."""

    #: (h_entry, h_id) of the dialog module.
    dialog: tuple[int, int]
    sip_call_id: str
    #: Number of the caller's INVITE.
    cseq: str
    answered: bool


@dataclass(frozen=True)
class ProxyDialogs:
    """What a proxy really holds: Call-IDs of all dialogs, and the legs of agents' accounts among them."""

    known: frozenset[str]
    #: (tenant, account, Call-ID) → the leg as acd_legs_sync takes it.
    legs: Mapping[tuple[int, int, str], Mapping[str, Any]]
    #: Media host → its dialogs, as (h_entry, h_id) of the dialog module.
    of_host: Mapping[str, tuple[tuple[int, int], ...]]
    #: By offer.
    direct: Mapping[int, DirectCall]


def dialogs_of(told: Iterable[Mapping[str, Any]]) -> ProxyDialogs:
    """Read the dialogs of a proxy (KamailioRpc.dialogs). Pure.

    The variables ks_agent (account ids with commas), ks_offer, ks_host and ks_tenant are set by the proxy's logic.
    """
    known: set[str] = set()
    legs: dict[tuple[int, int, str], Mapping[str, Any]] = {}
    of_host: dict[str, tuple[tuple[int, int], ...]] = {}
    direct: dict[int, DirectCall] = {}
    for dialog in told:
        if dialog.get("state") == DIALOG_ENDED:
            continue
        sip_call_id = text_of(dialog.get("call_id"))
        known.add(sip_call_id)
        raw = dialog.get("variables")
        variables = {name: text_of(value) for name, value in raw.items()} if isinstance(raw, dict) else {}
        if host := variables.get("ks_host"):
            of_host[host] = (*of_host.get(host, ()), (dialog["h_entry"], dialog["h_id"]))
        if (offer := variables.get("ks_offer", "")).isdigit():
            direct[int(offer)] = _direct_call(dialog, sip_call_id)
        for account in variables.get("ks_agent", "").split(","):
            if account.isdigit() and variables.get("ks_tenant", "").isdigit():
                leg = _leg(dialog, variables, sip_call_id, int(account))
                legs[leg["tenant"], leg["account"], sip_call_id] = leg
    return ProxyDialogs(frozenset(known), legs, of_host, direct)


def _direct_call(dialog: Mapping[str, Any], sip_call_id: str) -> DirectCall:
    caller = dialog.get("caller")
    cseq = text_of(caller.get("cseq")) if isinstance(caller, dict) else ""
    answered = dialog.get("state", 0) >= DIALOG_CONFIRMED
    return DirectCall((dialog["h_entry"], dialog["h_id"]), sip_call_id, cseq, answered)


def _leg(
    dialog: Mapping[str, Any], variables: Mapping[str, str], sip_call_id: str, account: int
) -> dict[str, Any]:
    offer = variables.get("ks_offer", "")
    # ks_acd (kemi/acd_events.py) tells the direction too: "legs 5 0 12in,13out 700".
    directions = dict(re.findall(r"([0-9]+)(in|out)\b", variables.get("ks_acd", "")))
    return {
        "tenant": int(variables["ks_tenant"]),
        "account": account,
        "sip_call_id": sip_call_id,
        "direction": directions.get(str(account), "in"),
        "peer": variables.get("ks_a", ""),
        "confirmed": dialog.get("state") in (3, 4),
        "offer": int(offer) if offer.isdigit() else None,
    }


def sync_proxy(conn: Conn, *, proxy: str, dialogs: ProxyDialogs, before: ProxyDialogs | None) -> int:
    """Compare the database with the dialogs of a proxy; return how many repairs were made.

    Only legs that were there at the look before as well count as new: the end of a dialog may overtake a look.
    """
    lasting = [leg for key, leg in dialogs.legs.items() if before is not None and key in before.legs]
    params = {"proxy": proxy, "legs": json.dumps(lasting), "known": sorted(dialogs.known)}
    return int(db.fetch_value(conn, SQL["legs_sync"], **params))


def dialogs_of_dead_hosts(conn: Conn, dialogs: ProxyDialogs) -> list[tuple[int, int]]:
    """Return the dialogs of media hosts that give no sign of life: their phones are to be told BYE."""
    dead = db.fetch_all(conn, _Host, SQL["dead_hosts"], hosts=sorted(dialogs.of_host))
    return [dialog for host in dead for dialog in dialogs.of_host[host.name]]


@dataclass(frozen=True)
class ProxyCommand:
    """What somebody decided about a call for which a proxy rings an agent itself."""

    command_id: int
    kind: str
    offer_id: int | None
    reason: str | None


def proxy_commands(conn: Conn, *, proxy: str) -> list[ProxyCommand]:
    """Return the commands to a proxy that were not performed yet."""
    return db.fetch_all(conn, ProxyCommand, SQL["proxy_commands"], proxy=proxy)


def proxy_commands_done(conn: Conn, commands: Iterable[ProxyCommand]) -> None:
    """Remember that these commands were performed."""
    db.execute(conn, SQL["proxy_commands_done"], commands=[command.command_id for command in commands])


def calls_to_end(commands: Iterable[ProxyCommand], direct: Mapping[int, DirectCall]) -> list[DirectCall]:
    """Return the direct calls whose agent is taken out: those that ring, and of those that talk the released. Pure.

    An agent who answered while somebody decided otherwise keeps the caller: he is busy as by any call.
    """
    taken = {command.offer_id: command.reason for command in commands if command.kind == "cancel_offer"}
    return [
        call
        for offer, call in direct.items()
        if offer in taken and (not call.answered or taken[offer] == RELEASED)
    ]
