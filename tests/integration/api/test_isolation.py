"""A tenant sees and changes its own rows only: by every method, and by a statement without WHERE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from api.connections import Connections
from api.method import Tenancy
from api.registry import all_methods
from callcore.errors import Refused
from callcore.states import ApiScope
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import (
    addressbook,
    caller,
    caller_id,
    form,
    gateway,
    gateway_rate,
    group,
    ivr,
    number,
    route,
    route_folder,
    schedule,
    screen_pop,
    token,
    trunk,
)
from kalibri.services.gateway_rate import Rate
from kalibri.services.route_draft import RouteDraft
from tests.support.belongings import Owner, give_campaign, give_queues, give_recording, give_services
from tests.support.builders import make_account, make_tenant
from tests.support.fix_api import Api
from tests.support.waiting import wait_until

#: Stands in everything that belongs to the other tenant.
MARK = "zebra"
#: Stand in what belongs to it, and in nothing that a request says.
TELLTALES = ("stripes", "74959998877", "10:07-11:07")
CALL = UUID("01980000-0000-7000-8000-0000000000aa")
RECORDING = UUID("01980000-0000-7000-8000-0000000000bb")
#: Their last word. Tried when all else is: what they make for oneself would hide the other's of that name.
MAKING = frozenset({"add", "create", "import", "copy"})


@pytest.fixture
def tenants(db: Conn) -> dict[str, int]:
    """Two tenants; one of everything for the one whose name is the mark."""
    ids = {name: make_tenant(db, name) for name in ("acme", MARK)}
    theirs = ids[MARK]
    make_account(db, theirs, "zebra1", display_name="stripes")
    addressbook.add(db, tenant_id=theirs, name=MARK, number="100", note="stripes")
    gateway.add(db, tenant_id=theirs, name=f"gw-{MARK}", host="192.0.2.1", note="stripes")
    gateway_rate.set_rate(
        db, tenant_id=theirs, gateway=f"gw-{MARK}", rate=Rate(prefix="7", price_per_minute=Decimal(1))
    )
    trunk.add(db, tenant_id=theirs, gateway=f"gw-{MARK}", username=MARK, password="a long password")
    group.add(db, tenant_id=theirs, name=f"group-{MARK}", note="stripes")
    group.set_member(db, tenant_id=theirs, name=f"group-{MARK}", gateway=f"gw-{MARK}")
    schedule.add(db, tenant_id=theirs, name=MARK, hours="mon 10:07-11:07")
    caller_id.add(db, tenant_id=theirs, set_name=MARK, number="74959998877")
    route_folder.add(db, tenant_id=theirs, path=MARK)
    draft = RouteDraft(priority=Decimal(1), destination_kind="reject", destination="486", note="stripes")
    route.add(db, tenant_id=theirs, draft=draft)
    number.add(db, numbers=["74950001122"], note="stripes")
    number.assign(db, numbers=["74950001122"], tenant_id=theirs)
    token.add(db, tenant_id=theirs, name="stripes", scopes=[ApiScope.READ])
    form.add(db, tenant_id=theirs, name=MARK, source="title: stripes\nfields: [{name: a, type: text}]\n")
    screen_pop.set_pop(db, tenant_id=theirs, url="https://stripes.example/", form=MARK)
    caller.set_lookup(db, tenant_id=theirs, url="https://stripes.example/")
    db.execute(
        "INSERT INTO ivr_scenario (tenant_id, name, version, source) VALUES (%s, %s, 1, %s)",
        [theirs, MARK, "about: stripes\nnodes: {a: {kind: hangup}}"],
    )
    ivr.allow_host(db, tenant_id=theirs, host="stripes.example")
    db.execute(
        "INSERT INTO ivr_table (tenant_id, name, columns) VALUES (%s, %s, '{key,stripes}')", [theirs, MARK]
    )
    db.execute("INSERT INTO ivr_row VALUES (%s, %s, '1', '{1,stripes}')", [theirs, MARK])
    started = datetime(2025, 6, 26, 5, 0, tzinfo=UTC)
    db.execute("SELECT ensure_day_partitions(%s)", [started.date()])
    db.execute(
        "INSERT INTO call (call_id, started_at, tenant_id, account) VALUES (%s, %s, %s, %s)",
        [CALL, started, theirs, "stripes"],
    )
    db.execute(
        "INSERT INTO call_event (event_id, at, call_id, tenant_id, kind, node, process, data)"
        " VALUES (%s, %s, %s, %s, 'call.start', 'n1', 'x', %s)",
        [CALL, started, CALL, theirs, json.dumps({"a": "stripes"})],
    )
    db.execute(
        "INSERT INTO media_cluster (tenant_id, first_at, last_at, calls, duration_ms, version, words, sounds, audio)"
        " VALUES (%s, %s, %s, 1, 3000, 1, '', '', '')",
        [theirs, started, started],
    )
    db.execute(
        "INSERT INTO early_media (tenant_id, early_media_id, cluster_id, number, heard_at, duration_ms)"
        " SELECT tenant_id, %s, cluster_id, '74959998877', first_at, 3000 FROM media_cluster",
        [CALL],
    )
    owner = Owner(conn=db, tenant=theirs, name=MARK, secret=TELLTALES[0], number=TELLTALES[1])
    give_queues(owner, CALL)
    give_campaign(owner)
    give_recording(owner, RECORDING, CALL)
    give_services(owner, "zebra1")
    return ids


#: Values for parameters that lead to the other tenant's objects.
AIMED: dict[str, Any] = {
    "name": MARK,
    "username": "zebra1",
    "gateway": f"gw-{MARK}",
    "gateways": [f"gw-{MARK}"],
    "set_name": MARK,
    "path": MARK,
    "new_path": "mine",
    "entry_id": 1,
    "route_id": 1,
    "route_ids": [1],
    "before": 1,
    "call_id": str(CALL),
    "number": "74950001122",
    "numbers": ["74950001122"],
    "token_id": 1,
    "webhook_id": 1,
    "domain": f"{MARK}.example",
    "names": [f"{MARK}.example"],
    "networks": ["192.0.2.9"],
    "csv": "name,number\nA,1\n",
    "hours": "mon 10:00-11:00",
    "scopes": ["read"],
    "password": "another password",
    "host": "192.0.2.3",
    "price_per_minute": "1",
    "priority": "1",
    "destination_kind": "reject",
    "destination": "486",
    "note": "mine now",
    "from_number": "100",
    "url": "http://192.0.2.1/",
    "delivery_ids": [1],
    "cluster_id": 1,
    "reason": "busy",
    "prefix": "7",
    "source": "title: mine\nfields: [{name: a, type: text}]\n",
    "form": MARK,
    "campaign": MARK,
    "offer": 1,
    "sheet": 1,
    "answers": {"a": "mine"},
    "look_up": False,
    "call": str(CALL),
    "recording_id": str(RECORDING),
    "message": str(RECORDING),
    "from_day": datetime.now(UTC).date().isoformat(),
    "queue": MARK,
    "entry": 1,
    "agent": MARK,
    "agents": [MARK],
    "skill": MARK,
    "level": 0,
    "state": "free",
    "seconds": 5,
    "command": 1,
    "after": 0,
    "to": "100",
    "caller": "100",
    "slot": "1",
    "condition": "always",
    "members": ["zebra1"],
    "action": "dnd_on",
    "code": "*99",
    "mailbox": MARK,
    "recipients": ["a@example.net"],
    "mode": "broadcast",
    "max_queue_percent": 100,
    "min_free_agents": 0,
    "from_name": MARK,
    "to_name": "mine",
    "position": 1,
    "list_name": "test",
    "lead": MARK,
    "lead_names": [MARK],
    "prompt_names": [MARK],
    "audio_base64": "UklGRg==",
    "sources": {MARK: "nodes: {}"},
    "kind": "media",
    "address": "udp:127.0.0.1:1",
    "set_id": 1,
    "report": "queue",
    "every": "day",
    "calls_days": 5,
    "job": "tokens",
}


#: Where a word means something else.
PRIORITIES: dict[str, Any] = {"entry.priority": 1, "entry.setPriority": 1, "campaign.admission.set": "low"}


def snapshot(db: Conn, tenant_id: int) -> str:
    """Everything that a tenant owns, as text."""
    found = []
    for (table,) in owned_tables(db):
        # The sequencer moves rows from the outbox to the log.
        if table in ("audit_log", "event_outbox", "event_log"):
            continue
        statement = sql.SQL("SELECT to_jsonb(t)::text FROM {} t WHERE tenant_id = %s ORDER BY 1")
        found.append((table, db.execute(statement.format(sql.Identifier(table)), [tenant_id]).fetchall()))
    return repr(found)


def owned_tables(db: Conn) -> list[tuple[str]]:
    """Every table of ours that has the column tenant_id."""
    return db.execute(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname = 'tenant_id' AND NOT a.attisdropped
        ORDER BY 1
        """
    ).fetchall()


def attempts(method_name: str) -> Iterator[dict[str, Any]]:
    """Ways to aim a method at the other tenant."""
    method = all_methods()[method_name]
    aimed = AIMED | {"priority": PRIORITIES.get(method_name, AIMED["priority"])}
    params = {
        parameter.name: aimed[parameter.name]
        for parameter in method.parameters
        if parameter.name in aimed
        and (parameter.required or parameter.name in ("username", "gateway", "number"))
    }
    yield params
    yield {name: aimed[name] for name in (p.name for p in method.parameters) if name in aimed}
    if any(parameter.name == "tenant" for parameter in method.parameters):
        yield {**params, "tenant": MARK}
        yield {**params, "tenant": "system"}


def cards_are_made(db: Conn) -> bool:
    """Tell whether what ks-api does by itself after an offer is over."""
    row = db.execute("SELECT count(*), count(*) FILTER (WHERE lookup = 'wanted') FROM agent_card").fetchone()
    return row == (1, 0)


@pytest.mark.parametrize("name", all_methods())
def test_every_method_is_aimed_at_the_other_tenant(name: str) -> None:
    """Parameters that are refused as such would show nothing."""
    method = all_methods()[name]
    tenant = {"tenant": MARK} if method.tenancy is Tenancy.SYSTEM and method.takes_tenant else {}
    method.check({**next(attempts(name)), **tenant})


def test_no_method_shows_or_changes_what_another_tenant_has(
    api: Api, db: Conn, tenants: dict[str, int]
) -> None:
    mine = api.token("acme", "admin")
    wait_until(lambda: cards_are_made(db), "ks-api has made the cards of what rings", 60)
    before = snapshot(db, tenants[MARK])
    done = set()
    for name in sorted(all_methods(), key=lambda name: (name.rpartition(".")[2] in MAKING, name)):
        for params in attempts(name):
            if name == "route.reload":
                params["timeout"] = 0
            answer = api.post(mine, {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).json
            if "error" in answer:
                error_id = answer["error"]["data"]["error_id"]
                assert error_id != "internal-error", (name, params, api.log()[-3000:])
            else:
                done.add(name)
            for telltale in TELLTALES:
                assert telltale not in json.dumps(answer), (name, params)
        assert snapshot(db, tenants[MARK]) == before, name
    assert len(done) > 20


@pytest.fixture
def connections(pg_config: Config) -> Iterator[Connections]:
    """Connections as ks-api has them."""
    made = Connections(pg_config)
    yield made
    made.close()


def test_a_statement_without_where_shows_the_own_rows_only(
    connections: Connections, db: Conn, tenants: dict[str, int]
) -> None:
    seen = 0
    for (table,) in owned_tables(db):
        counted = sql.SQL("SELECT tenant_id, count(*) FROM {} GROUP BY 1").format(sql.Identifier(table))
        with connections.acting(tenant_id=tenants["acme"], actor="test") as conn:
            try:
                with conn.transaction():
                    owners = {row[0] for row in conn.execute(counted).fetchall()}
            except psycopg.errors.InsufficientPrivilege:
                continue
        assert owners <= {0, tenants["acme"]}, table
        with connections.acting(tenant_id=tenants[MARK], actor="test") as conn:
            seen += tenants[MARK] in {row[0] for row in conn.execute(counted).fetchall()}
    assert seen >= 12, "the test looked at nothing"


def test_without_a_tenant_nothing_is_seen(connections: Connections, tenants: dict[str, int]) -> None:
    with connections.tenant.lend() as conn:
        for table in ("account", "call", "number", "gateway_rate", "trunk", "audit_log"):
            row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            assert row == (0,), table


def test_rows_of_another_tenant_cannot_be_written(connections: Connections, tenants: dict[str, int]) -> None:
    for statement in (
        "INSERT INTO route_folder (tenant_id, path) VALUES (%(other)s, 'x')",
        "UPDATE tenant SET name = 'mine'",
        "DELETE FROM audit_log",
        "SELECT 1 FROM journal_file",
        "SELECT ha1 FROM kamailio.subscriber",
        "INSERT INTO audit_log (actor, origin, noun, operation, key) VALUES ('x', 'x', 'x', 'insert', '{}')",
    ):
        with pytest.raises(Refused), connections.acting(tenant_id=tenants["acme"], actor="test") as conn:
            conn.execute(statement, {"other": tenants[MARK]})
    with connections.acting(tenant_id=tenants["acme"], actor="test") as conn:
        assert conn.execute("UPDATE route SET enabled = false").rowcount == 0
        assert conn.execute("DELETE FROM trunk").rowcount == 0


def test_every_table_is_protected_or_closed(db: Conn) -> None:
    """A later table with tenant_id calls protect_tenant_rows; one without stays closed, or says who may see it."""
    unprotected = db.execute(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname = 'tenant_id' AND NOT a.attisdropped
          AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
        """
    ).fetchall()
    assert unprotected == []
    open_ = db.execute(
        """
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relrowsecurity
          AND c.relnamespace IN ('public'::regnamespace, 'kamailio'::regnamespace)
          AND has_table_privilege('kalibri_api', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
        """
    ).fetchall()
    assert open_ == []


def test_every_table_of_configuration_is_audited(db: Conn) -> None:
    """What the change log follows, a person wants to know about too."""
    unwatched = db.execute(
        """
        SELECT DISTINCT l.tgrelid::regclass::text FROM pg_trigger l
        WHERE l.tgfoid = 'log_change'::regproc
          AND NOT EXISTS (SELECT FROM pg_trigger a WHERE a.tgrelid = l.tgrelid AND a.tgfoid = 'audit_change'::regproc)
        """
    ).fetchall()
    assert unwatched == []
