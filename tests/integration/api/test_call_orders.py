"""Orders about calls that go on: recording by the RTP controllers, callers handed to another agent."""

from __future__ import annotations

import json
import socketserver
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from callcore.ids import uuid7
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import agent
from tests.support.acd_field import Field
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_api import Api


class Controller:
    """Stands for an RTP controller: notes what it is told; all its calls are recorded."""

    def __init__(self, config: Config, name: str) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        controller = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                request = json.loads(self.rfile.readline())
                controller.told.append((request["method"], request["params"]))
                self.wfile.write(
                    b'{"jsonrpc": "2.0", "id": 1, "result": {"recordings": ["r1"], "waiting": false}}\n'
                )

        path = config.rtp_controller_socket(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def controller(pg_config: Config) -> Iterator[Controller]:
    """The one controller of this machine that runs."""
    made = Controller(pg_config, pg_config.rtp_controllers[0])
    yield made
    made.close()


def add_call(db: Conn, tenant_id: int, account: str | None = None) -> str:
    """Have a call that goes on; return its id."""
    now = datetime.now(UTC)
    call_id = uuid7(int(now.timestamp() * 1000), uuid.uuid4().bytes[:10])
    db.execute("SELECT ensure_day_partitions(%s)", [now.date()])
    db.execute(
        "INSERT INTO call (call_id, started_at, tenant_id, account, a_number, b_number)"
        " VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, '7495', '7800')",
        [call_id, int(now.timestamp() * 1000), tenant_id, account],
    )
    return str(call_id)


def test_a_call_is_recorded_by_order_of_its_tenant_only(api: Api, db: Conn, controller: Controller) -> None:
    acme, other = make_tenant(db, "acme"), make_tenant(db, "other")
    mine, theirs = add_call(db, acme), add_call(db, other)
    supervisor = api.token("acme", "supervisor")
    started = api.result(supervisor, "recording.start", call=mine)
    assert started == {"call": mine, "recordings": ["r1"], "waiting": False}
    for verb in ("pause", "resume", "stop"):
        assert api.result(supervisor, f"recording.{verb}", call=mine)["recordings"] == ["r1"]
    told = [(method, params["by"]) for method, params in controller.told]
    assert [method for method, _ in told] == ["record.start", "record.pause", "record.resume", "record.stop"]
    assert told[0][1] == "api"
    assert told[1][1].startswith("token ")
    assert controller.told[0][1] == {"call": mine, "by": "api", "tenant": acme, "a": "7495", "b": "7800"}
    api.result(supervisor, "call.record", call=mine)
    before = len(controller.told)
    for verb in ("start", "pause", "resume", "stop"):
        assert api.refused(supervisor, f"recording.{verb}", call=theirs) == "not-found"
    assert api.refused(api.token("system"), "recording.start", call=theirs, tenant="acme") == "not-found"
    db.execute("UPDATE call SET ended_at = now(), final_code = 200 WHERE call_id = %s", [mine])
    assert api.refused(supervisor, "recording.start", call=mine) == "not-found"
    assert len(controller.told) == before


def test_an_agent_pauses_the_recording_of_his_own_call_only(
    api: Api, db: Conn, controller: Controller
) -> None:
    field = Field(db)
    field.host()
    queue = field.queue("sales")
    for name in ("anna", "boris"):
        make_account(db, field.tenant, name)
        agent.add(db, tenant_id=field.tenant, name=name, account=name)
    anna = agent.find(db, tenant_id=field.tenant, name="anna").agent_id
    db.execute("UPDATE agent_live SET registered = true")
    field.member(queue, anna)
    field.call("acd_login", anna)
    call = uuid.uuid4()
    action = field.enter(queue, "7495", call=call)
    tokens = {
        name: api.result("", "session.login", username=name, place="acme", password=PASSWORD)["token"]
        for name in ("anna", "boris")
    }
    assert api.refused(tokens["anna"], "recording.pause", call=str(call)) == "not-found", "it only rings yet"
    field.answer(action.offer_id)
    assert api.result(tokens["anna"], "recording.pause", call=str(call))["recordings"] == ["r1"]
    assert api.result(tokens["anna"], "recording.resume", call=str(call))["recordings"] == ["r1"]
    assert [params["by"] for _, params in controller.told] == ["account acme/anna"] * 2
    assert api.refused(tokens["boris"], "recording.pause", call=str(call)) == "not-found"
    assert api.refused(tokens["anna"], "recording.stop", call=str(call)) == "forbidden"
    own = add_call(db, field.tenant, account="boris")
    assert api.result(tokens["boris"], "recording.pause", call=own)["call"] == own
    assert api.refused(tokens["anna"], "recording.pause", call=own) == "not-found"


def test_without_a_controller_the_order_is_refused(api: Api, db: Conn) -> None:
    call = add_call(db, make_tenant(db, "acme"))
    assert api.refused(api.token("acme"), "recording.start", call=call) == "unavailable"


def test_a_caller_is_given_to_another_agent_whether_he_waits_or_talks(api: Api, db: Conn) -> None:
    field = Field(db)
    field.host()
    queue = field.queue("sales")
    waiting = field.enter(queue, "7495")
    assert waiting.kind == "wait"
    anna = field.agent("anna", queue, login=False)
    supervisor = api.token("acme", "supervisor")
    told = api.result(supervisor, "call.reassign", call=str(waiting.entry_id), agent="anna")
    assert told == {"how": "now", "command": None}
    [offer] = [command for command in field.take() if command.kind == "offer_agent"]
    assert field.offer(offer.offer_id)["agent_id"] == anna
    field.answer(offer.offer_id)
    field.agent("boris", queue)
    told = api.result(
        supervisor, "call.reassign", call=str(field.entry(waiting.entry_id)["call_id"]), agent="boris"
    )
    assert told["how"] == "transfer"
    [order] = [command for command in field.take() if command.kind == "transfer"]
    assert (order.id, order.data["to_kind"], order.data["to"]) == (told["command"], "number", "100")
    assert api.refused(supervisor, "call.reassign", call=str(waiting.entry_id), agent="nobody") == "not-found"
