"""Slots of parked calls: who gets which, what is forgotten, how a tenant parks."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from callcore.errors import BadInput, NotFound
from kalibri import db as database
from kalibri.db import Conn
from kalibri.services import park
from kalibri.services.park import ParkPolicy
from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl


@pytest.fixture
def acme(db: Conn) -> int:
    tenant_id = make_tenant(db, "acme")
    for username in ("101", "102"):
        make_account(db, tenant_id, username)
    return tenant_id


def host(db: Conn, name: str, seconds_ago: int = 0) -> None:
    db.execute(
        "INSERT INTO node (name, kind, host, address, heartbeat_at)"
        " VALUES (%s, 'media', 'n1', %s, clock_timestamp() - make_interval(secs => %s))",
        [name, f"udp:127.0.0.1:{7000 + len(name)}", seconds_ago],
    )


def take(db: Conn, tenant: int, slot: int = 0, *, at: str = "m1", parker: str = "101") -> dict[str, Any]:
    """Take a slot for a new call; return the answer with the id of the call."""
    call = str(uuid.uuid4())
    params = {"tenant": tenant, "slot": slot, "call": call, "host": at, "caller": "84951112233"}
    words = {"caller_name": "", "parker": parker, "code": "*71"}
    answer = database.fetch_value(db, park.SQL["take"], **params, **words)
    found: dict[str, Any] = answer if isinstance(answer, dict) else json.loads(answer)
    return {**found, "call": call}


def test_no_slot_is_given_twice_whatever_host_asks(db: Conn, acme: int) -> None:
    host(db, "m1")
    host(db, "m22")
    park.set_policy(db, tenant_id=acme, slots=3)
    taken = [take(db, acme, at="m1"), take(db, acme, 2, at="m22"), take(db, acme, at="m22")]
    assert [answer["slot"] for answer in taken] == [1, 2, 3]
    assert take(db, acme, 2)["refused"] == "taken"
    assert take(db, acme)["refused"] == "full"
    assert take(db, acme, 4)["refused"] == "none"
    assert [(call.slot, call.parker) for call in park.list_parked(db, tenant_id=acme)] == [
        (1, "101"),
        (2, "101"),
        (3, "101"),
    ]
    found = park.find(db, tenant_id=acme, slot=2)
    assert (found.call_id, found.host, found.address) == (taken[1]["call"], "m22", "udp:127.0.0.1:7003")
    database.execute(db, park.SQL["free"], tenant=acme, call=taken[1]["call"])
    assert take(db, acme)["slot"] == 2
    other = make_tenant(db, "other")
    assert take(db, other)["slot"] == 1
    with pytest.raises(NotFound):
        park.find(db, tenant_id=other, slot=2)


def test_a_parker_is_told_the_slot_that_he_did_not_choose(db: Conn, acme: int) -> None:
    host(db, "m1")
    take(db, acme, 7)
    take(db, acme)
    take(db, acme, parker="nobody")
    rows = db.execute("SELECT sender, body FROM stored_message").fetchall()
    assert [tuple(row) for row in rows] == [("park", "84951112233: *711")]


def test_slots_of_a_dead_host_are_free_and_of_its_earlier_life_forgotten(db: Conn, acme: int) -> None:
    host(db, "m1")
    host(db, "gone", 60)
    take(db, acme, 1, at="gone")
    assert park.list_parked(db, tenant_id=acme) == []
    assert take(db, acme, 1)["slot"] == 1
    kept, old = take(db, acme, 2), take(db, acme, 3)
    database.execute(db, park.SQL["forget"], host="m1", calls=[kept["call"]])
    assert [call.slot for call in park.list_parked(db, tenant_id=None)] == [2]
    assert [slot.call_id for slot in park.at_slots(db, slots=[(acme, 2), (acme, 3)])] == [kept["call"]]
    assert old["slot"] == 3


def test_how_a_tenant_parks(db: Conn, acme: int) -> None:
    host(db, "m1")
    assert park.find_policy(db, tenant_id=acme) == ParkPolicy()
    park.set_policy(db, tenant_id=acme, wait_seconds=5, overflow="account:102")
    shown = park.set_policy(db, tenant_id=acme, ring_seconds=7)
    assert shown == ParkPolicy(slots=20, wait_seconds=5, ring_seconds=7, overflow="account:102")
    answer = take(db, acme)
    assert (answer["wait_seconds"], answer["ring_seconds"], answer["overflow"]) == (5, 7, "account:102")
    park.set_policy(db, tenant_id=acme, overflow=None, slots=0)
    assert park.find_policy(db, tenant_id=acme).overflow is None
    assert take(db, acme)["refused"] == "full"
    for wrong in ({"slots": 100}, {"wait_seconds": 0}, {"overflow": "voicemail"}, {"overflow": "moon:1"}):
        with pytest.raises(BadInput):
            park.set_policy(db, tenant_id=acme, **wrong)
    with pytest.raises((BadInput, NotFound)):
        park.set_policy(db, tenant_id=acme, overflow="queue:nowhere")


def test_ksctl(ksctl: Ksctl, db: Conn, acme: int) -> None:
    ksctl("park", "set", "-t", "acme", "--slots", "5", "--wait", "30", "--overflow", "number:84951112233")
    shown = ksctl("park", "show", "-t", "acme", "-o", "json").json
    assert (shown["slots"], shown["wait_seconds"], shown["overflow"]) == (5, 30, "number:84951112233")
    host(db, "m1")
    take(db, acme, 4)
    (row,) = ksctl("call", "parked", "-t", "acme", "-o", "json").json
    assert (row["slot"], row["caller"], row["parker"], row["host"]) == (4, "84951112233", "101", "m1")
    ksctl("park", "set", "-t", "acme", "--overflow", "none")
    assert ksctl("park", "show", "-t", "acme", "-o", "json").json["overflow"] is None
