"""The event stream: each event once and in order, whatever is killed in between."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import psycopg
import pytest

from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import tenant as tenants
from kalibri.services import token as tokens
from tests.support.acd_field import Field
from tests.support.api_stream import Stream, Told, WebSocket
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_api import Api
from tests.support.fix_pg import RunningCluster, temporary_cluster

_serial = count(1)


def publish(conn: Conn, tenant_id: int | None, kind: str = "test.event", **data: object) -> None:
    """Put an event into the outbox, as a trigger would."""
    conn.execute(
        "INSERT INTO event_outbox (at, tenant_id, kind, account, queue_id, data) VALUES (now(), %s, %s, %s, %s, %s)",
        [tenant_id, kind, data.get("account"), data.get("queue"), json.dumps({"n": next(_serial), **data})],
    )


def numbers(events: list[Told]) -> list[int]:
    return [event.data["data"]["n"] for event in events]


def test_changes_of_a_tenant_come_to_its_listeners_and_to_nobody_else(api: Api) -> None:
    acme, other, system = api.token("acme"), api.token("other"), api.token("system", "read")
    api.wait_told()  # of the tokens themselves
    with Stream(api.port, acme) as mine, Stream(api.port, other) as theirs, Stream(api.port, system) as all_:
        for stream in (mine, theirs, all_):
            assert stream.status == 200
            stream.block()  # where it begins
        api.result(acme, "folder.add", path="a")
        api.result(other, "folder.add", path="b")
        told = mine.event()
        assert (told.kind, told.data["data"]["operation"]) == ("config.route_folder", "insert")
        assert theirs.event().data["tenant_id"] != told.data["tenant_id"]
        assert len({event.data["tenant_id"] for event in all_.events(2)}) == 2
        api.result(acme, "folder.add", path="c")
        assert mine.event().data["tenant_id"] == told.data["tenant_id"]


def test_filters_choose_kinds_and_queues(api: Api, db: Conn) -> None:
    reader = api.token("acme", "read")
    tenant_id = tenants.find(db, name="acme").tenant_id
    with (
        Stream(api.port, reader, query={"after": 0, "kind": "call.*,agent.state"}) as kinds,
        Stream(api.port, reader, query={"after": 0, "queue": 7}) as queue,
    ):
        for kind, number in (("call.start", 1), ("queue.x", 7), ("agent.state", 7), ("agent.other", 2)):
            publish(db, tenant_id, kind, queue=number)
        assert [event.kind for event in kinds.events(2)] == ["call.start", "agent.state"]
        assert [event.kind for event in queue.events(2)] == ["queue.x", "agent.state"]


def test_an_agent_hears_of_himself_only(api: Api, db: Conn) -> None:
    tenant_id = make_tenant(db, "acme")
    make_account(db, tenant_id, "101")
    agent = api.result("", "session.login", username="101", place="acme", password=PASSWORD)["token"]
    with Stream(api.port, agent, query={"after": 0}) as stream:
        publish(db, tenant_id, "call.start", account="102")
        publish(db, tenant_id, "call.start", account="101")
        assert stream.event().data["account"] == "101"


def test_transactions_that_commit_out_of_order_lose_nothing(api: Api, db: Conn, pg_dsn: str) -> None:
    reader = api.token("acme", "read")
    tenant_id = tenants.find(db, name="acme").tenant_id
    with Stream(api.port, reader, query={"after": 0, "kind": "test.event"}) as stream:
        with psycopg.connect(pg_dsn) as slow:
            publish(slow, tenant_id, name="first")  # the smaller outbox_id, committed last
            publish(db, tenant_id, name="second")
            assert stream.event().data["data"]["name"] == "second"
            slow.commit()
        assert stream.event().data["data"]["name"] == "first"


def write_much(dsn: str, tenant_id: int, stop: threading.Event, written: list[int]) -> None:
    """Commit events in transactions of odd length, until told to stop; a broken connection is made anew."""
    rng = random.Random(len(written))
    while not stop.is_set():
        try:
            with psycopg.connect(dsn) as conn:
                while not stop.is_set():
                    own = []
                    for _ in range(rng.randint(1, 5)):
                        number = next(_serial)
                        conn.execute(
                            "INSERT INTO event_outbox (at, tenant_id, kind, data) VALUES (now(), %s, 'test.event', %s)",
                            [tenant_id, json.dumps({"n": number})],
                        )
                        own.append(number)
                        time.sleep(rng.random() / 500)
                    try:
                        conn.commit()
                    except psycopg.Error:
                        # It may have been committed or not: the table knows.
                        break
                    written.extend(own)
        except psycopg.Error:
            time.sleep(0.1)


def test_every_event_comes_once_and_in_order_while_the_api_is_killed(api: Api, db: Conn, pg_dsn: str) -> None:
    reader = api.token("acme", "read")
    tenant_id = tenants.find(db, name="acme").tenant_id
    stop, written, heard = threading.Event(), [], []
    last = 0
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(write_much, pg_dsn, tenant_id, stop, written)
        try:
            for round_ in range(4):
                with Stream(api.port, reader, last=last, query={"kind": "test.event"}) as stream:
                    for _ in range(150):
                        heard.append(stream.event())
                        last = stream.last
                    if round_ < 3:
                        api.stop(kill=round_ != 1)
                        api.start()
        finally:
            stop.set()
    with Stream(api.port, reader, last=last, query={"kind": "test.event"}) as stream:
        while len(heard) < len(written):
            heard.append(stream.event())
    assert sorted(numbers(heard)) == sorted(written)
    assert [event.id for event in heard] == sorted({event.id for event in heard})


@pytest.fixture
def cluster() -> Iterator[RunningCluster]:
    """A database of one's own, to be killed."""
    with temporary_cluster() as server:
        yield server


def test_every_event_comes_once_while_postgresql_is_killed(cluster: RunningCluster, tmp_path: Path) -> None:
    config = Config(home=tmp_path, database=cluster.config.database)
    dsn = cluster.dsn("kalibri")
    api = Api(Config(home=cluster.config.home, database=cluster.config.database), tmp_path, {})
    api._environment["KALIBRI_DATABASE_DSN"] = dsn
    assert config.home == tmp_path
    api.start()
    try:
        reader = api.token("acme", "read")
        with psycopg.connect(dsn, autocommit=True) as conn:
            tenant_id = tenants.find(conn, name="acme").tenant_id
        stop, written, heard = threading.Event(), [], []
        with (
            ThreadPoolExecutor(3) as pool,
            Stream(api.port, reader, query={"after": 0, "kind": "test.event"}) as stream,
        ):
            for _ in range(3):
                pool.submit(write_much, dsn, tenant_id, stop, written)
            try:
                heard += stream.events(100)
                cluster.kill()
                cluster.start_again()
                heard += stream.events(300)  # the same stream goes on
            finally:
                stop.set()
            pool.shutdown()
            with psycopg.connect(dsn, autocommit=True) as conn:
                publish(conn, tenant_id, end=True)
                while "end" not in (event := stream.event()).data["data"]:
                    heard.append(event)
                stored = conn.execute(
                    "SELECT (data ->> 'n')::int FROM event_log WHERE kind = 'test.event' AND NOT data ? 'end'"
                ).fetchall()
        assert sorted(numbers(heard)) == sorted(number for (number,) in stored)
        assert set(written) <= set(numbers(heard))
        assert [event.id for event in heard] == sorted({event.id for event in heard})
    finally:
        api.stop(kill=True)


def test_a_snapshot_and_the_stream_after_it_leave_no_gap(api: Api, db: Conn) -> None:
    admin = api.token("acme")
    api.result(admin, "gateway.add", name="one", host="192.0.2.1")
    with Stream(api.port, admin, query={"snapshot": 1}) as stream:
        first = stream.event()
        assert first.kind == "snapshot"
        assert [gateway["name"] for gateway in first.data["gateways"]] == ["one"]
        api.result(admin, "gateway.add", name="two", host="192.0.2.2")
        # What the snapshot shows already may be told again, but nothing is left out.
        known = api.result(admin, "gateway.show", name="two")["gateway_id"]
        while stream.event().data["data"].get("key") != {"gateway_id": known}:
            pass
    field = Field(db, tenant=tenants.find(db, name="acme").tenant_id)
    field.host()
    waiting = field.enter(field.queue("sales"), "7495").entry_id
    field.agent("anna", login=False)
    going = uuid.uuid4()
    db.execute("SELECT ensure_day_partitions(current_date)")
    db.execute(
        "INSERT INTO call (call_id, started_at, tenant_id, a_number) VALUES (%s, now(), %s, '7495')",
        [going, field.tenant],
    )
    told = api.result(admin, "event.snapshot")
    assert [gateway["name"] for gateway in told["gateways"]] == ["one", "two"]
    assert [(queue["name"], queue["waiting"]) for queue in told["queues"]] == [("sales", 1)]
    assert [(agent["name"], agent["state"]) for agent in told["agents"]] == [("anna", "offline")]
    assert [(entry["entry_id"], entry["caller"]) for entry in told["entries"]] == [(waiting, "7495")]
    assert [call["call_id"] for call in told["calls"]] == [str(going)]
    strange = api.result(api.token("other"), "event.snapshot")
    assert not any(strange[part] for part in ("calls", "gateways", "queues", "agents", "entries"))
    api.result(admin, "folder.add", path="x")
    deadline = time.monotonic() + 30
    kinds: list[str] = []
    while "config.route_folder" not in kinds:
        assert time.monotonic() < deadline
        page = api.result(admin, "event.list", after=told["after"])
        kinds = [event["kind"] for event in page["events"]]
    assert kinds.count("config.route_folder") == 1


def test_who_stopped_too_long_ago_is_told_so(api: Api, db: Conn) -> None:
    admin = api.token("acme")
    api.result(admin, "folder.add", path="x")
    with Stream(api.port, admin, query={"after": 0}) as stream:
        last = stream.event().id
    db.execute("UPDATE event_log SET at = now() - interval '10 days'")
    assert db.execute("SELECT forget_events('1 day')").fetchone() == (last,) or last > 0
    api.stop()
    api.start()  # what memory holds would still serve
    with Stream(api.port, admin, query={"after": last - 1}) as stream:
        assert stream.event().kind == "reset"
    with Stream(api.port, admin, query={"after": last + 1000}) as stream:
        assert stream.event().kind == "reset"
    poll = f"/v1/events/poll?after={last - 1}&wait=5"
    assert api.http("GET", poll, headers={"Authorization": f"Bearer {admin}"}).json["lost"] is True


def test_waiting_without_a_stream(api: Api, db: Conn) -> None:
    reader = api.token("acme", "read")
    tenant_id = tenants.find(db, name="acme").tenant_id
    headers = {"Authorization": f"Bearer {reader}"}
    begin = api.http("GET", "/v1/events/poll?wait=0", headers=headers).json
    assert begin["events"] == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            api.http, "GET", f"/v1/events/poll?after={begin['after']}&kind=test.*&wait=50", None, headers
        )
        publish(db, tenant_id, "test.one")
        found = waiting.result().json
    assert [event["kind"] for event in found["events"]] == ["test.one"]
    after = api.http("GET", f"/v1/events/poll?after={found['after']}&wait=0", headers=headers).json
    assert after["events"] == []
    assert api.http("GET", "/v1/events/poll?after=x", headers=headers).status < 500


def test_tickets_open_streams_and_tokens_in_addresses_do_not(api: Api) -> None:
    reader = api.token("acme", "read")
    ticket = api.result(reader, "session.ticket")["token"]
    with Stream(api.port, query={"ticket": ticket, "after": 0}) as stream:
        assert stream.status == 200
    with Stream(api.port, query={"ticket": reader}) as stream:
        assert stream.status != 200 or "error" in stream._data.decode()
    with Stream(api.port) as stream:
        assert stream.status == 401


def test_the_end_of_a_token_ends_its_streams(api: Api, db: Conn) -> None:
    reader = api.token("acme", "read")
    ticket = api.result(reader, "session.ticket")["token"]
    with (
        Stream(api.port, query={"ticket": ticket}) as stream,
        WebSocket(api.port, reader) as socket,
    ):
        socket.call("event.subscribe")
        tokens.revoke(db, tenant_id=None, token_id=int(reader.split("_")[1]))
        while stream.event().kind != "end":
            pass
        while socket.message() is not None:
            pass
        assert socket.close_code == 4401


def test_a_slow_listener_gets_everything_in_the_end(api: Api, db: Conn) -> None:
    reader = api.token("acme", "read")
    tenant_id = tenants.find(db, name="acme").tenant_id
    with Stream(api.port, reader, query={"after": 0, "kind": "test.big"}, receive_buffer=4096) as stream:
        db.execute(
            "INSERT INTO event_outbox (at, tenant_id, kind, data)"
            " SELECT now(), %s, 'test.big', jsonb_build_object('n', n, 'text', repeat('x', 10000))"
            " FROM generate_series(1, 3000) n",
            [tenant_id],
        )
        with Stream(api.port, reader, query={"after": 0, "kind": "test.big"}) as quick:
            assert numbers(quick.events(3000)) == list(range(1, 3001))
        assert numbers(stream.events(3000)) == list(range(1, 3001))


def test_a_websocket_speaks_json_rpc_and_tells_events(api: Api, db: Conn) -> None:
    admin = api.token("acme")
    with WebSocket(api.port, admin) as socket:
        assert socket.call("folder.add", path="a")["result"]["path"] == "a"
        begin = socket.call("event.subscribe", kinds=["config.schedule"])["result"]["after"]
        assert isinstance(begin, int)
        socket.send(
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "schedule.add",
                "params": {"name": "b", "hours": "mon 10:00-11:00"},
            }
        )
        seen, answered = [], False
        while not (seen and answered):
            message = socket.message()
            answered = answered or message.get("id") == 2
            seen += message.get("params", {}).get("events", [])
        assert [event["data"]["operation"] for event in seen] == ["insert"]
        again = socket.call("event.subscribe", after=seen[0]["id"] - 1, kinds=["config.schedule"])
        assert again["result"]["after"] == seen[0]["id"] - 1
        assert socket.message()["params"]["events"][0]["id"] == seen[0]["id"]
        assert socket.call("event.unsubscribe")["result"] is None
        assert socket.call("event.subscribe", after=-5)["error"]["code"] == -32602
        assert socket.call("event.subscribe", nonsense=1)["error"]["code"] == -32602
        socket.send("{")
        assert socket.message()["error"]["code"] == -32700
        requests = [
            {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe"},
            {"jsonrpc": "2.0", "method": "folder.add", "params": {"path": "b"}},
            {"jsonrpc": "2.0", "id": 2, "method": "folder.list", "params": {}},
        ]
        socket.send(requests)
        alone, listed = socket.message()
        assert (alone["id"], alone["error"]["code"]) == (1, -32601), "to subscribe is no part of a batch"
        assert [row["path"] for row in listed["result"]] == ["a", "b"], "what stands beside it is done"
        socket.send({"jsonrpc": "2.0", "method": "event.subscribe", "params": {"kinds": ["config.schedule"]}})
        socket.send({"jsonrpc": "2.0", "method": "schedule.rm", "params": {"name": "b"}})
        while not (told := socket.message())["params"]["events"]:
            pass
        assert [event["data"]["operation"] for event in told["params"]["events"]] == ["delete"]
    with WebSocket(api.port, "ks_1_wrong") as socket:
        assert socket.message() is None
        assert socket.close_code == 4401


def test_what_happens_in_queues_is_told_and_agents_steer_themselves(api: Api, db: Conn) -> None:
    tenant_id = make_tenant(db, "acme")
    for name in ("101", "102"):
        make_account(db, tenant_id, name)
    admin = api.token("acme")
    for name in ("101", "102"):
        api.result(admin, "agent.add", name=f"agent{name}", account=name)
    agent = api.result("", "session.login", username="101", place="acme", password=PASSWORD)["token"]
    supervisor = api.token("acme", "supervisor")
    with (
        Stream(api.port, agent, query={"after": 0, "kind": "agent.*"}) as own,
        Stream(api.port, supervisor, query={"snapshot": 1, "kind": "agent.*"}) as all_,
    ):
        shown = {row["name"]: row["state"] for row in all_.event().data["agents"]}
        assert shown == {"agent101": "offline", "agent102": "offline"}
        api.result(supervisor, "agent.setState", name="agent102", state="free")
        api.result(agent, "agent.login")
        heard = own.event()
        assert heard.data["account"] == "101"
        assert {all_.event().data["account"] for _ in range(4)} == {"101", "102"}
    assert api.refused(agent, "agent.login", name="agent102") == "forbidden"
    assert api.result(agent, "agent.state")["name"] == "agent101"
