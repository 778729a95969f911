"""Calls for people: filters, ids by their beginning, stories, and the calls that a real proxy holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from callcore.errors import BadInput, NotFound
from kalibri.config import Config
from kalibri.rpc import KamailioRpc
from kalibri.services import call as calls
from kalibri.services.call import AmbiguousCallId
from tests.support.events import START, CallBuilder, Journals, talked_call
from tests.support.rpc_kamailio import Phones, rpc_kamailio
from tools.ks_cdr import CdrDaemon


def insert(db: psycopg.Connection, config: Config, *built: CallBuilder) -> None:
    """Store calls the way they always are: through a journal and ks-cdr."""
    Journals(config).append("a", *(event for call in built for event in call.events))
    daemon = CdrDaemon(config)
    assert daemon.settle()
    daemon.close()


@pytest.fixture
def gateways(db: psycopg.Connection) -> None:
    db.execute(
        "INSERT INTO tenant (tenant_id, name, realm) VALUES (7, 'acme', 'acme'), (8, 'other', 'other')"
    )
    db.execute(
        "INSERT INTO gateway (gateway_id, name, host) OVERRIDING SYSTEM VALUE"
        " VALUES (5, 'dead', '192.0.2.5'), (6, 'good', '192.0.2.6'), (7, 'idle', '192.0.2.7')"
    )


@pytest.fixture
def history(db: psycopg.Connection, pg_config: Config, gateways: None) -> dict[str, UUID]:
    """Four calls of two tenants, an hour apart."""
    talked = talked_call(1)
    busy = CallBuilder(2, start=START + timedelta(hours=1))
    busy.start(a="bob", b="100%_1")
    busy.attempt(5, 1, 6)
    busy.attempt_end(100, code=486, reason="Busy Here", cause="", failover=False)
    busy.end(101, code=486, cause="busy", method="reject")
    incoming = CallBuilder(3, start=START + timedelta(hours=2), tenant=8)
    incoming.start(direction="gateway", gateway=6, account=None, a="+74950001122", b="+74959998877")
    incoming.answer(10)
    open_call = CallBuilder(4, start=START + timedelta(hours=3), tenant=8)
    open_call.start(a="eve")
    insert(db, pg_config, talked, busy, incoming, open_call)
    told = {"talked": talked, "busy": busy, "incoming": incoming, "open": open_call}
    return {name: call.call_id for name, call in told.items()}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, "open incoming busy talked"),
        ({"limit": 2}, "open incoming"),
        ({"tenant_id": 7}, "busy talked"),
        ({"since": START + timedelta(hours=2)}, "open incoming"),
        ({"until": START + timedelta(hours=2)}, "busy talked"),
        ({"since": START + timedelta(hours=1), "until": START + timedelta(hours=2)}, "busy"),
        ({"a": "+7495"}, "incoming talked"),
        ({"a": "bob"}, "busy"),
        ({"b": "88121234567"}, "open talked"),
        ({"b": "7812"}, "talked"),
        ({"number": "749599"}, "incoming"),
        ({"number": "eve"}, "open"),
        ({"b": "100%_"}, "busy"),
        ({"b": "100_1"}, ""),
        ({"b": "%"}, ""),
        ({"gateway": "dead"}, "talked"),
        ({"gateway": "good"}, "incoming busy talked"),
        ({"gateway": "idle"}, ""),
        ({"code": 486}, "busy"),
        ({"answered": True}, "incoming talked"),
        ({"answered": False}, "open busy"),
        ({"min_talk_seconds": 60.0}, "talked"),
        ({"min_talk_seconds": 60.1}, ""),
        ({"answered": True, "tenant_id": 8, "gateway": "good"}, "incoming"),
    ],
)
def test_filters_let_through_what_they_say(
    db: psycopg.Connection, history: dict[str, UUID], filters: dict[str, Any], names: str
) -> None:
    found = calls.list_calls(db, **filters)
    assert [call.call_id for call in found] == [history[name] for name in names.split()]


def test_a_gateway_that_does_not_exist_is_not_an_empty_list(
    db: psycopg.Connection, history: dict[str, UUID]
) -> None:
    with pytest.raises(NotFound, match="wrong"):
        calls.list_calls(db, gateway="wrong")


def test_names_are_shown_as_far_as_they_are_known(db: psycopg.Connection, history: dict[str, UUID]) -> None:
    talked = calls.find(db, call_id=history["talked"])
    assert (talked.tenant, talked.gateway_in, talked.gateway_out) == ("acme", None, "good")
    db.execute("DELETE FROM gateway WHERE gateway_id = 6")
    talked = calls.find(db, call_id=history["talked"])
    assert (talked.gateway_out_id, talked.gateway_out) == (6, None)


def test_an_id_is_found_by_its_unique_beginning(db: psycopg.Connection, history: dict[str, UUID]) -> None:
    whole = str(history["busy"])
    for text in (whole, whole.upper(), whole[:20], whole.replace("-", ""), whole[:13], f" {whole[:14]} "):
        assert calls.find_id(db, text=text) == history["busy"]


def test_a_beginning_of_several_ids_names_them(db: psycopg.Connection, history: dict[str, UUID]) -> None:
    with pytest.raises(AmbiguousCallId) as ambiguous:
        calls.find_id(db, text=str(history["busy"])[:4])
    assert all(str(call_id) in ambiguous.value.message for call_id in history.values())


@pytest.mark.parametrize("text", ["ffffffff", "1", "0193aabb-ccdd-7eee-8fff-001122334455"])
def test_an_id_that_nobody_has_is_not_found(
    db: psycopg.Connection, history: dict[str, UUID], text: str
) -> None:
    with pytest.raises(NotFound):
        calls.story(db, call_id=calls.find_id(db, text=text))


@pytest.mark.parametrize("text", ["", "xyz", "'; DROP TABLE call; --", "0" * 33, "%"])
def test_what_is_no_id_is_refused(db: psycopg.Connection, text: str) -> None:
    with pytest.raises(BadInput):
        calls.find_id(db, text=text)


def test_a_story_has_every_event_and_names(db: psycopg.Connection, history: dict[str, UUID]) -> None:
    story = calls.story(db, call_id=history["talked"])
    assert [line.kind for line in story.lines] == [event.kind for event in talked_call(1).events]
    assert "gateway good (6)" in story.lines[4].text
    assert "gateway dead (5) at 1.50" in story.lines[1].text
    assert story.summary == "talked 60.0 s: hung up after talking; hung up first: callee"


def test_live_calls_are_those_of_the_proxy(history: dict[str, UUID]) -> None:
    with rpc_kamailio() as proxy, Phones(proxy) as phones, KamailioRpc(proxy.socket) as rpc:
        phones.call("alice", "100", {"X-KS-Call": str(history["talked"]), "X-Tenant": "7"})
        phones.call("bob", "200", {"X-KS-Call": str(history["busy"]), "X-Tenant": "8"}, answer=False)
        now = datetime.now(UTC) + timedelta(seconds=90)
        live = {call.a: call for call in calls.live_calls(rpc, now=now)}
        only = calls.live_calls(rpc, now=now, tenant="8")
    assert (live["alice"].call_id, live["alice"].tenant) == (str(history["talked"]), "7")
    assert (live["alice"].b, live["alice"].state) == ("100", "talking")
    assert live["alice"].answered_at is not None
    assert 88 <= live["alice"].seconds <= 100
    assert live["bob"].answered_at is None
    assert [call.a for call in only] == ["bob"]
