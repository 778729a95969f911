"""JSON-RPC over HTTP: requests, batches, notifications, errors, tokens, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callcore.states import ApiScope
from kalibri.db import Conn
from kalibri.services import token as tokens
from tests.support.api_stream import Stream
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_api import Api, ApiError, MakeApi
from tests.support.waiting import wait_until


def call(method: str, request_id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def test_what_one_call_makes_another_shows(api: Api) -> None:
    admin = api.token("acme")
    made = api.result(admin, "schedule.add", name="day", hours="mon-fri 09:00-18:00")
    assert made["hours"] == "mon-fri 09:00-18:00"
    assert [row["name"] for row in api.result(admin, "schedule.list")] == ["day"]
    assert api.result(admin, "schedule.set", name="day", add_holidays=["2027-01-01"])["holidays"] == [
        "2027-01-01"
    ]
    api.result(admin, "schedule.rm", name="day")
    assert api.refused(admin, "schedule.show", name="day") == "not-found"


def test_batches_notifications_and_positions(api: Api) -> None:
    admin = api.token("acme")
    answer = api.post(
        admin,
        [
            call("folder.add", 1, path="a"),
            {"jsonrpc": "2.0", "method": "folder.add", "params": {"path": "b"}},
            {"jsonrpc": "2.0", "id": "x", "method": "folder.add", "params": [None, "c"]},
            call("folder.list", 2),
            {"jsonrpc": "1.0", "id": 9, "method": "folder.list"},
            7,
        ],
    )
    by_id = {item["id"]: item for item in answer.json}
    assert len(answer.json) == 5
    assert [row["path"] for row in by_id[2]["result"]] == ["a", "b", "c"]
    assert by_id[9]["error"]["code"] == by_id[None]["error"]["code"] == -32600
    assert api.post(admin, {"jsonrpc": "2.0", "method": "folder.list"}).status == 204


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"{}", -32600),
        (json.dumps([1] * 51).encode(), -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":3}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"folder.add","params":{"path":1,"nonsense":2}}', -32602),
    ],
)
def test_what_is_no_request_is_told_so(api: Api, body: bytes, code: int) -> None:
    answer = api.post(api.token("acme"), body)
    assert answer.json["error"]["code"] == code
    assert answer.status in (200, 400)


def test_every_wrong_parameter_is_named(api: Api) -> None:
    with pytest.raises(ApiError) as caught:
        api.result(api.token("acme"), "route.add", priority="one", enabled=1, colour="red")
    problems = {item["parameter"] for item in caught.value.details["problems"]}
    assert problems >= {"enabled", "destination_kind", "colour"}
    assert caught.value.error_id == "bad-parameters"


def test_scopes_say_what_a_token_may_do(api: Api) -> None:
    reader, admin = api.token("acme", "read"), api.token("acme")
    assert api.result(reader, "folder.list") == []
    assert api.refused(reader, "folder.add", path="a") == "forbidden"
    assert api.refused(admin, "tenant.list") == "forbidden"
    assert [row["name"] for row in api.result(api.token("system", "read"), "tenant.list")] == [
        "system",
        "acme",
    ]


def test_a_token_ends_when_it_is_revoked_and_cannot_grant_more_than_it_has(api: Api) -> None:
    admin = api.token("acme")
    made = api.result(admin, "token.add", name="crm", scopes=["read"])
    assert api.result(made["token"], "folder.list") == []
    api.result(admin, "token.revoke", token_id=made["token_id"])
    again = api.post(made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B"), call("folder.list"))
    assert again.status == 401
    supervisor = api.token("acme", "supervisor")
    assert api.refused(supervisor, "token.add", name="x", scopes=["admin"]) == "forbidden"
    listed = api.result(admin, "token.list")
    assert made["token"] not in json.dumps(listed)
    assert [row["usable"] for row in listed if row["token_id"] == made["token_id"]] == [False]


def test_revocation_is_noticed_within_seconds(api: Api, db: Conn) -> None:
    made = api.token("acme", "read")
    assert api.result(made, "folder.list") == []
    tokens.revoke(db, tenant_id=None, token_id=int(made.split("_")[1]))
    wait_until(lambda: api.post(made, call("folder.list")).status == 401, "a revoked token is refused", 30)


def test_a_token_ends_by_itself_and_with_its_tenant(api: Api, db: Conn) -> None:
    admin, tenant = api.token("acme"), "UPDATE tenant SET enabled = %s WHERE name = 'acme'"
    short = api.result(admin, "token.add", name="short", scopes=["read"], expires_seconds=3600)
    assert api.result(short["token"], "folder.list") == []
    with Stream(api.port, short["token"]) as stream:
        db.execute(
            "UPDATE api_token SET expires_at = now() - interval '1 s' WHERE token_id = %s",
            [short["token_id"]],
        )
        while (event := stream.event()).kind != "end":
            pass
        assert "token" in event.data["reason"]
    wait_until(lambda: api.post(short["token"], call("folder.list")).status == 401, "it is refused", 30)
    assert not next(row for row in api.result(admin, "token.list") if row["name"] == "short")["usable"]
    db.execute(tenant, [False])
    wait_until(lambda: api.post(admin, call("folder.list")).status == 401, "the tenant's tokens end", 30)
    db.execute(tenant, [True])
    wait_until(lambda: api.post(admin, call("folder.list")).status == 200, "they are good again", 30)


def test_an_account_logs_in_and_acts_for_itself_only(api: Api, db: Conn) -> None:
    tenant_id = make_tenant(db, "acme", "acme.example")
    make_account(db, tenant_id, "101")
    make_account(db, tenant_id, "102")
    for place in ("acme", "acme.example"):
        made = api.result("", "session.login", username="101", place=place, password=PASSWORD)
        agent = made["token"]
        assert api.result(agent, "session.show")["account"] == "101"
    assert api.result(agent, "account.show")["username"] == "101"
    assert api.refused(agent, "account.show", username="102") == "forbidden"
    assert api.refused(agent, "account.list") == "forbidden"
    assert api.refused("", "session.login", username="101", place="acme", password="wrong") == "unauthorized"
    assert api.refused("", "session.login", username="999", place="acme", password="wrong") == "unauthorized"
    api.result(agent, "session.end")
    stored = db.execute("SELECT array_agg(secret_hash || coalesce(name, '')) FROM api_token").fetchone()
    assert stored is not None
    assert agent.split("_", 2)[2] not in str(stored)


def test_without_a_token_only_the_document_is_told(api: Api) -> None:
    document = api.result("", "rpc.discover")
    assert document["openrpc"] == "1.3.2"
    assert api.post("", call("tenant.list")).status == 401


def test_guessing_is_slowed_down(make_api: MakeApi, db: Conn) -> None:
    api = make_api({"api.failed_logins_per_minute": 3})
    make_account(db, make_tenant(db, "acme"), "101")
    told = [
        api.post("", call("session.login", username="101", place="acme", password=f"guess{n}")).status
        for n in range(6)
    ]
    assert told == [401, 401, 401, 429, 429, 429]
    right = api.post("", call("session.login", username="101", place="acme", password=PASSWORD))
    assert (right.status, right.json["error"]["data"]["error_id"]) == (429, "too-many-requests")
    assert int(right.headers["retry-after"]) >= 1


def test_too_many_requests_of_one_token_wait(make_api: MakeApi) -> None:
    api = make_api({"api.requests_per_second_per_token": 1})
    admin, other = api.token("acme"), api.token("acme")
    told = [api.post(admin, call("folder.list")).status for _ in range(5)]
    assert 429 in told
    assert api.post(other, call("folder.list")).status == 200


def test_a_request_that_is_too_long_is_refused(make_api: MakeApi) -> None:
    api = make_api({"api.max_request_bytes": 2000})
    assert api.post(api.token("acme"), call("folder.add", path="x" * 3000)).status == 413
    assert api.result(api.token("acme"), "folder.list") == []


def test_imports_and_exports_are_texts(api: Api) -> None:
    admin = api.token("acme")
    done = api.result(admin, "addressbook.import", csv="name,number\nAnna,101\nЙод,102\n")
    assert done["added"] == ["Anna 101", "Йод 102"]
    text = api.result(admin, "addressbook.export")
    assert api.result(admin, "addressbook.import", csv=text)["unchanged"] == ["Anna 101", "Йод 102"]
    assert api.refused(admin, "addressbook.import", csv="name\nAnna\n") == "csv-refused"


def test_tokens_are_made_on_the_command_line(api: Api, ksctl: Any) -> None:
    api.token("acme")
    text = ksctl.ok("token", "add", "-t", "acme", "crm", "--scope", "read", "--expires", "12h").stdout.strip()
    assert api.result(text, "folder.list") == []
    row = next(row for row in ksctl.ok("token list -t acme -o json").json if row["name"] == "crm")
    assert (row["scopes"], row["usable"]) == ([ApiScope.READ], True)
    ksctl.ok("token", "revoke", str(row["token_id"]))
    assert not next(r for r in ksctl.ok("token list -o json").json if r["name"] == "crm")["usable"]
