"""Cards, forms and callers over the API: who sees what, and that nothing leads into our own network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kalibri.db import Conn
from kalibri.services import agent
from tests.support.acd_field import Field
from tests.support.api_stream import Stream
from tests.support.builders import PASSWORD, make_account
from tests.support.dial_centre import Centre
from tests.support.fix_api import Api, MakeApi

SOURCE = "title: Complaint\nfields:\n  - {name: note, type: text, required: true}\n"


class Crm:
    """A tenant's system on this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                crm.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"name": "Anna"}')

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/who?n={{caller}}"
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def crm() -> Iterator[Crm]:
    """A tenant's system on this machine."""
    made = Crm()
    yield made
    made.close()


def test_a_card_comes_to_its_agent_and_only_he_fills_it_in(api: Api, db: Conn) -> None:
    field = Field(db)
    field.host()
    queue = field.queue("sales", wrapup_seconds=60)
    for name in ("anna", "boris"):
        make_account(db, field.tenant, name)
        agent.add(db, tenant_id=field.tenant, name=name, account=name)
    admin = api.token("acme", "admin")
    tokens = {
        name: api.result("", "session.login", username=name, place="acme", password=PASSWORD)["token"]
        for name in ("anna", "boris")
    }
    refused = api.post(
        admin,
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "form.add",
            "params": {"name": "x", "source": "title: x\nfields:\n  - {name: A}\n"},
        },
    ).json["error"]["data"]
    assert refused["error_id"] == "bad-form"
    assert refused["details"]["problems"] == [{"line": 3, "problem": '"type" is missing'}]
    api.result(admin, "form.add", name="complaint", source=SOURCE)
    api.result(admin, "screenpop.set", queue="sales", url="https://crm.example/{caller}", form="complaint")
    assert (
        api.refused(admin, "screenpop.set", queue="sales", url="https://{caller}.example/") == "bad-template"
    )
    assert api.refused(tokens["anna"], "screenpop.list") == "forbidden"
    found = agent.find(db, tenant_id=field.tenant, name="anna").agent_id
    db.execute("UPDATE agent_live SET registered = true")
    field.member(queue, found)
    desk = api.result(tokens["anna"], "card.live")
    assert (desk["agent"]["name"], desk["cards"]) == ("anna", [])
    query = {"after": desk["after"], "kind": "card.*,form.save"}
    with (
        Stream(api.port, tokens["anna"], query=query) as mine,
        Stream(api.port, tokens["boris"], query=query) as his,
    ):
        field.call("acd_login", found)
        offer = field.enter(queue, "7495").offer_id
        assert [event.kind for event in mine.events(2)] == ["card.make", "card.open"]
        assert api.result(tokens["anna"], "card.show", offer=offer)["url"] == "https://crm.example/7495"
        assert api.refused(tokens["boris"], "card.show", offer=offer) == "not-found"
        answers = {"note": "hello"}
        assert api.refused(tokens["boris"], "form.sheet.save", offer=offer, answers=answers) == "not-found"
        assert (
            api.refused(tokens["anna"], "form.sheet.save", offer=offer, answers={}, finished=True)
            == "bad-answers"
        )
        sheet = api.result(tokens["anna"], "form.sheet.save", offer=offer, answers=answers, finished=True)
        assert (sheet["agent"], sheet["saved_by"]) == ("anna", "account acme/anna")
        told = mine.event()
        assert (told.kind, told.data["data"]["answers"]) == ("form.save", answers)
        field.acts("acd_end", field.offer(offer)["entry_id"], "abandoned")
        db.execute("UPDATE agent_live SET registered = true")
        boris = agent.find(db, tenant_id=field.tenant, name="boris").agent_id
        field.member(queue, boris)
        field.call("acd_logout", found)
        field.call("acd_login", boris)
        field.enter(queue, "7499")
        first = his.event()
        assert first.data["data"]["variables"]["caller"] == "7499", "of the other agent he hears nothing"
    assert len(api.result(admin, "form.sheet.list", form="complaint")) == 1
    assert api.result(api.token("other"), "form.sheet.list") == []


def test_two_processes_make_each_card_once(make_api: MakeApi, db: Conn, crm: Crm) -> None:
    field = Field(db)
    field.host()
    queue = field.queue("sales")
    agents = [field.agent(f"agent{n}", queue) for n in range(12)]
    first = make_api({"api.lookup_networks": "127.0.0.0/8"})
    admin = first.token("acme", "admin")
    first.result(admin, "screenpop.set", url="https://crm.example/{info.name}/{offer_id}")
    first.result(admin, "caller.lookup.set", url=crm.url)
    second = make_api({"api.lookup_networks": "127.0.0.0/8"})
    with Stream(second.port, admin, query={"kind": "card.open"}) as stream:
        stream.block()
        offers = [field.enter(queue, f"7495{n}").offer_id for n in range(len(agents) // 2)]
        first.stop(kill=True)
        offers += [field.enter(queue, f"7496{n}").offer_id for n in range(len(agents) // 2)]
        opened = [event.data["data"]["url"] for event in stream.events(len(agents))]
    assert sorted(opened) == sorted(f"https://crm.example/Anna/{offer}" for offer in offers)
    told = db.execute(
        "SELECT kind, count(*) FROM event_log WHERE kind LIKE 'card.%' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert told == [("card.info", 12), ("card.make", 12), ("card.open", 12)]


def test_callers_are_looked_up_where_the_operator_allows_it(make_api: MakeApi, crm: Crm) -> None:
    closed = make_api()
    admin = closed.token("acme", "admin")
    shown = closed.result(
        admin, "caller.lookup.set", url=crm.url, headers={"X-Key": "secret"}, timeout_ms=5000
    )
    assert shown["headers"] == ["X-Key"], "secrets are not shown again"
    told = closed.result(admin, "caller.info", number="7495")
    assert (told["lookup"], told["info"]) == ("failed", {})
    assert "no public address" in told["error"]
    assert crm.asked == []
    allowed = make_api({"api.lookup_networks": "127.0.0.0/8"})
    admin = allowed.token("acme", "admin")
    allowed.result(admin, "caller.lookup.set", cache_seconds=60)  # what was remembered is forgotten
    for _ in range(2):
        told = allowed.result(admin, "caller.info", number="7495")
        assert (told["lookup"], told["info"], told["calls"]) == ("done", {"name": "Anna"}, [])
    assert crm.asked == ["/who?n=7495"]
    assert allowed.result(admin, "caller.info", number="7499", look_up=False)["lookup"] == "none"
    assert allowed.refused(allowed.token("acme", "agent"), "caller.info", number="7495") == "forbidden"


def test_an_agent_decides_on_his_own_preview_only(api: Api, db: Conn) -> None:
    centre = Centre(db)
    for name in ("anna", "boris"):
        make_account(db, centre.acd.tenant, name)
        centre.acd.member(
            centre.queue, agent.add(db, tenant_id=centre.acd.tenant, name=name, account=name).agent_id
        )
    db.execute("UPDATE agent_live SET registered = true")
    tokens = {
        name: api.result("", "session.login", username=name, place="acme", password=PASSWORD)["token"]
        for name in ("anna", "boris")
    }
    sale = centre.campaign("74951110001", mode="preview")
    centre.field.conn.execute('UPDATE lead SET variables = \'{"town": "Tula"}\'')
    centre.acd.call("acd_login", agent.find(db, tenant_id=centre.acd.tenant, name="anna").agent_id)
    after = api.result(tokens["anna"], "card.live")["after"]
    with Stream(api.port, tokens["anna"], query={"after": after, "kind": "card.make,offer.accept"}) as mine:
        centre.look()
        made = mine.event()
        offer = made.data["data"]["offer_id"]
        assert made.data["data"]["variables"]["lead"]["town"] == "Tula"
        card = api.result(tokens["anna"], "card.show", offer=offer)
        assert (card["state"], card["preview_until"] is None) == ("reserved", False)
        assert api.refused(tokens["boris"], "agent.preview.accept", offer=offer) == "preview-refused"
        assert api.refused(tokens["boris"], "agent.preview.accept", name="anna") == "forbidden"
        assert api.refused(tokens["anna"], "agent.preview.skip", offer=offer, reason=" ") == "bad-input"
        api.result(tokens["anna"], "agent.preview.skip", offer=offer, reason="called lately")
        centre.look()
        assert centre.attempts(sale) == ["skipped"]
        centre.acd.call("acd_login", agent.find(db, tenant_id=centre.acd.tenant, name="boris").agent_id)
        centre.field.lead(sale, "74951110002")
        centre.look()
        second = centre.previews()[0]["offer_id"]
        who = centre.field.value(
            "SELECT a.name FROM offer JOIN agent a USING (agent_id) WHERE offer_id = %s", second
        )
        api.result(tokens[who], "agent.preview.accept", offer=second)
        api.result(tokens[who], "agent.preview.accept", offer=second)
        assert centre.offer()["offer_id"] == second


def test_a_supervisor_takes_back_a_task_of_a_campaign(api: Api, db: Conn) -> None:
    """He may not write attempts; the attempt follows all the same."""
    centre = Centre(db)
    centre.agent()
    sale = centre.campaign("74951110001")
    centre.look()
    entry = centre.offer()["entry_id"]
    api.result(api.token("acme", "admin"), "entry.eject", entry=entry)
    centre.look()
    assert centre.attempts(sale)[0] == "no_agent"
    assert centre.acd.entry(entry)["end_reason"] == "cancelled"
