"""The agent's page in a real browser: the live card, the form, and that the stream goes on after a crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kalibri.db import Conn
from kalibri.services import agent, caller, form, screen_pop
from tests.support.acd_field import HOST, Field
from tests.support.browser import PATIENCE_SECONDS, Browser
from tests.support.builders import PASSWORD, make_account
from tests.support.dial_field import DialField
from tests.support.fix_api import Api, MakeApi
from tools.dial.engine import Engine

SOURCE = """\
title: Complaint
disposition: result
wrapup: {seconds: 300, end_when_finished: true}
fields:
  - {name: hello, type: script, text: "Good day, {info.name}, this is {agent_name}."}
  - {name: result, type: choice, label: Result, choices: [sold, {value: later, label: Call again}], required: true}
  - {name: amount, type: number, label: Amount, minimum: 0}
  - {name: visit, type: date, label: Visit}
  - {name: note, type: text, label: Note, lines: 3}
"""
#: What a caller may call himself.
EVIL = "<img src=x onerror=\"document.title='owned'\">"


class Crm:
    """A tenant's system that knows everybody."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"name": "Maria <b>Ivanova</b>", "crm_id": "A/7", "debt": 120}')

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
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


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    """A ks-api that may ask this machine who calls."""
    return make_api({"api.lookup_networks": "127.0.0.1/32"})


class Desk:
    """An agent who is logged in, with a queue, a screen pop and a form."""

    def __init__(self, db: Conn, crm: Crm) -> None:
        self.db = db
        self.field = field = Field(db)
        field.host()
        self.queue = field.queue("sales", wrapup_seconds=60)
        make_account(db, field.tenant, "anna")
        self.agent = agent.add(
            db, tenant_id=field.tenant, name="anna", account="anna", display_name="Anna P."
        ).agent_id
        field.member(self.queue, self.agent)
        db.execute("UPDATE agent_live SET registered = true")
        field.call("acd_login", self.agent)
        form.add(db, tenant_id=field.tenant, name="complaint", source=SOURCE)
        screen_pop.set_pop(
            db,
            tenant_id=field.tenant,
            queue="sales",
            url="https://crm.example/c/{crm_id}?p={caller}",
            form="complaint",
        )
        caller.set_lookup(db, tenant_id=field.tenant, url=f"http://127.0.0.1:{crm.port}/who?n={{caller}}")

    def ring(self, number: str) -> int:
        """Have the agent rung for a caller; return the offer."""
        variables = {"called": "78005550100"}
        action = self.field.enter(self.queue, number, caller_name=EVIL, variables=variables)
        assert action.offer_id is not None, action
        return action.offer_id

    def sheet(self) -> tuple[Any, ...] | None:
        """Return the newest sheet: offer, answers, disposition, finished."""
        return self.db.execute(
            "SELECT offer_id, answers, disposition, finished_at IS NOT NULL FROM form_sheet ORDER BY sheet_id DESC"
        ).fetchone()


@pytest.fixture
def desk(db: Conn, crm: Crm) -> Desk:
    """An agent at his desk."""
    return Desk(db, crm)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def log_in(browser: Browser, api: Api) -> None:
    browser.open(f"http://127.0.0.1:{api.port}/agent")
    browser.wait_for("return document.querySelector('#login')?.hidden === false")
    browser.type("#place", "acme")
    browser.type("#username", "anna")
    browser.type("#password", "wrong")
    browser.click("#login button")
    browser.wait_for("return document.querySelector('#login-error').textContent !== ''")
    browser.run("document.querySelector('#password').value = ''")
    browser.type("#password", PASSWORD)
    browser.click("#login button")
    browser.wait_for_text("#stream", "connected")
    assert browser.text("#agent-name") == "Anna P."


def test_an_agent_sees_his_call_and_fills_in_its_form(api: Api, desk: Desk, tmp_path: Path) -> None:
    with Browser(tmp_path / "browser") as browser:
        log_in(browser, api)
        assert browser.text("#idle") == "No call."
        first = desk.ring("74950001122")
        browser.wait_for_text("#caller", "74950001122")
        browser.wait_for_text("#agent-state", "ringing")
        browser.wait_for_text("#pop-link", "https://crm.example/c/A%2F7?p=74950001122")
        browser.wait_for_text("#caller-name", "Maria <b>Ivanova</b>")
        assert browser.text("#sheet .script") == "Good day, Maria <b>Ivanova</b>, this is Anna P.."
        assert "120" in browser.text("#info")
        assert browser.text("#called") == "78005550100"
        assert browser.run(
            "return document.title + document.querySelectorAll('main img, main b').length"
        ) == ("Kalibri: agent0"), "what callers say of themselves is text"

        desk.field.answer(first)
        browser.wait_for_text("#agent-state", "busy")
        browser.type("#sheet [name=note]", "wants his money")
        browser.type("#sheet [name=amount]", "12.5")
        browser.wait_for_text("#sheet .saved", "saved")
        eventually(lambda: desk.sheet() == (first, {"note": "wants his money", "amount": 12.5}, None, False))
        desk.field.acts("acd_finish", first, "caller")
        browser.wait_for_text("#agent-state", "wrapup")
        browser.click("#sheet button")
        browser.wait_for_text("#sheet [data-problem=result]", "is required")
        assert desk.sheet() == (first, {"note": "wants his money", "amount": 12.5}, None, False)
        browser.type("#sheet [name=note]", " back")
        eventually(
            lambda: desk.sheet() == (first, {"note": "wants his money back", "amount": 12.5}, None, False)
        )
        assert browser.text("#sheet [data-problem=result]") == "is required", (
            "a draft does not hide what is missing"
        )
        browser.run(
            "const visit = document.querySelector('#sheet [name=visit]'); visit.value = '2026-11-30';"
            "const result = document.querySelector('#sheet [name=result]'); result.value = 'later';"
        )
        browser.click("#sheet button")
        browser.wait_for_text("#sheet .saved", "finished")
        browser.wait_for_text("#agent-state", "free")
        answers = {"note": "wants his money back", "amount": 12.5, "visit": "2026-11-30", "result": "later"}
        assert desk.sheet() == (first, answers, "later", True)

        api.stop(kill=True)
        browser.wait_for_text("#stream", "connecting")
        second = desk.ring("74950003344")
        api.start()
        browser.wait_for_text("#caller", "74950003344")
        browser.wait_for_text("#pop-link", "p=74950003344")
        browser.wait_for("return document.querySelector('#sheet [name=note]').value === ''")
        desk.field.acts("acd_end", desk.field.offer(second)["entry_id"], "abandoned")
        browser.wait_for_text("#idle", "No call.")
        third = desk.ring("74950001122")
        browser.wait_for_text("#history", "later")
        assert third > second
        browser.click("#leave")
        browser.wait_for("return document.querySelector('#login').hidden === false")
        assert browser.run("return sessionStorage.length") == 0


def test_pages_load_nothing_from_elsewhere_and_show_no_other_file(api: Api) -> None:
    page = api.http("GET", "/agent/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert api.http("GET", "/agent/", headers={"If-None-Match": page.headers["etag"]}).status == 304
    assert api.http("GET", "/agent").headers["location"].endswith("/agent/")
    for path in (
        "/agent/..%2f..%2fpyproject.toml",
        "/agent/../../pyproject.toml",
        "/agent/agent.py",
        "/agent/x/y",
    ):
        assert api.http("GET", path).status == 404


def test_an_agent_looks_at_leads_and_skips_or_calls_them(api: Api, desk: Desk, tmp_path: Path) -> None:
    field = DialField(desk.db, tenant=desk.field.tenant)
    desk.db.execute(
        "UPDATE node SET heartbeat_at = now() + interval '1 hour',"
        ' data = data || \'{"capacity": 99, "calls": 0}\''
    )
    values = {"mode": "preview", "prompt": "", "queue_id": desk.queue, "preview_seconds": 600}
    sale = field.campaign("spring", **values)
    field.lead(sale, "74951110001", variables={"town": EVIL})
    field.lead(sale, "74951110002")
    engine = Engine(load=lambda: 0.0)
    with Browser(tmp_path / "browser") as browser:
        log_in(browser, api)
        engine.look(desk.db, may_judge=False)
        browser.wait_for_text("#caller", "74951110001")
        browser.wait_for_text("#call-state", "preview")
        browser.wait_for("return document.querySelector('#preview').hidden === false")
        assert EVIL in browser.text("#info"), "what lists say is text"
        browser.type("#skip-reason", "wrong_person")
        browser.click("#skip")
        eventually(lambda: field.value("SELECT reason FROM lead_skip") == "wrong_person")

        def next_one() -> bool:
            engine.look(desk.db, may_judge=False)
            return browser.text("#caller") == "74951110002"

        eventually(next_one)
        browser.wait_for("return document.querySelector('#skip-reason').value === ''")
        browser.click("#accept")
        browser.wait_for("return document.querySelector('#preview').hidden === true")
        (told,) = desk.db.execute(
            "SELECT kind FROM acd_take(%s) WHERE kind = 'offer_agent'", [HOST]
        ).fetchall()
        assert told == ("offer_agent",)
        browser.wait_for_text("#agent-state", "ringing")
        assert browser.text("#problem") == ""
