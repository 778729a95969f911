"""What the OpenRPC document promises, the API does; whatever it is told, it never breaks.

Requests are generated from the document: some as it allows, some that break it in every way. Results are checked
against its schemas. A mistake of ours would be the error id internal-error.
"""

from __future__ import annotations

import json
import os
import random
import string
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.openrpc import document
from api.registry import all_methods
from kalibri.db import Conn
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_api import Api, MakeApi

DOCUMENT = document(all_methods())
#: Would take the database away from the others, or the time.
LEFT_OUT = frozenset({"worker.run", "route.reload", "schema.check", "session.login"})
#: For each method; `make fuzz` asks for many more.
EXAMPLES = 150 if os.environ.get("KALIBRI_FUZZ_SECONDS") else 12
#: The codes that the document names.
CODES = {error["code"] for error in DOCUMENT["components"]["errors"].values()}
#: Names of things that are there, so that methods get beyond "not found".
KNOWN = ["acme", "101", "gw", "group", "day", "set", "folder", "74951112233", "acme.example", "", "system"]


def inlined(schema: Any, depth: int = 4) -> Any:
    """Return a schema without references."""
    if isinstance(schema, list):
        return [inlined(item, depth) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return inlined(DOCUMENT["components"]["schemas"][name], depth - 1) if depth else {}
    return {key: inlined(value, depth) for key, value in schema.items()}


FORMATS: dict[str, st.SearchStrategy[Any]] = {
    "date-time": st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda moment: moment.isoformat()),
    "date": st.dates().map(str),
    "uuid": st.uuids().map(str),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def value_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A value as the document allows it; texts are often names that exist."""
    plain = inlined(schema)
    if "anyOf" in plain:
        return st.one_of([value_of(each) for each in plain["anyOf"]])
    if "enum" in plain:
        return st.sampled_from(plain["enum"])
    kind = plain.get("type")
    if kind == "string":
        text = st.text(max_size=min(plain.get("maxLength", 50), 50))
        return FORMATS.get(plain.get("format", ""), st.sampled_from(KNOWN) | text)
    if kind == "integer":
        low, high = plain.get("minimum", -(2**31)), plain.get("maximum", 2**31 - 1)
        return st.integers(low, high) | st.integers(max(low, 0), min(high, max(low, 0) + 10))
    if kind == "number":
        low = plain.get("minimum", plain.get("exclusiveMinimum", -1e9))
        return st.floats(low, plain.get("maximum", 1e9), exclude_min="exclusiveMinimum" in plain)
    if kind == "array":
        return st.lists(value_of(plain["items"]), min_size=plain.get("minItems", 0), max_size=4)
    if kind == "object":
        return st.dictionaries(st.text(max_size=10), ANYTHING, max_size=3)
    return {"boolean": st.booleans(), "null": st.none()}.get(str(kind), ANYTHING)


@st.composite
def requests(draw: st.DrawFn, method: dict[str, Any]) -> dict[str, Any] | list[Any]:
    """Parameters of a method: mostly right ones, sometimes broken."""
    params: dict[str, Any] = {}
    for parameter in method["params"]:
        if parameter["name"] == "tenant":
            params["tenant"] = draw(st.sampled_from(["acme", "acme", "acme", "system", "nobody"]))
        elif parameter["required"] or draw(st.booleans()):
            params[parameter["name"]] = draw(value_of(parameter["schema"]))
    broken = draw(st.integers(0, 5))
    if broken == 0 and params:
        name = draw(st.sampled_from(sorted(params)))
        params[name] = draw(ANYTHING)
    if broken == 1:
        params[draw(st.text(min_size=1, max_size=10))] = draw(st.text(max_size=10))
    return list(params.values()) if broken == 2 else params


@pytest.fixture
def api(make_api: MakeApi, db: Conn) -> Api:
    """A ks-api without limits, and something of everything to be found."""
    made = make_api(
        {
            "api.requests_per_second_per_token": 100_000,
            "api.requests_per_second_per_address": 1_000_000,
            "api.failed_logins_per_minute": 10_000,
        }
    )
    make_account(db, make_tenant(db, "acme"), "101")
    system = made.token("system", "admin")
    made.result(system, "gateway.add", name="gw", host="192.0.2.1", tenant="acme")
    made.result(system, "group.add", name="group", gateways=["gw"], tenant="acme")
    made.result(system, "schedule.add", name="day", hours="mon-fri 09:00-18:00", tenant="acme")
    made.result(system, "callerid.add", set_name="set", number="74951112233", tenant="acme")
    made.result(system, "folder.add", path="folder", tenant="acme")
    made.result(system, "number.add", numbers=["74951112233"])
    return made


def check(api: Api, token: str, method: dict[str, Any], params: Any) -> bool:
    """Call a method and hold the answer against the document; tell whether it was done."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method["name"], "params": params})
    reply = api.http("POST", "/v1/rpc", body.encode(), {"Authorization": f"Bearer {token}"})
    told = f"{method['name']} {body[:2000]}"
    assert reply.status < 500, f"{told}: {reply.status} {reply.body[:1000]!r}"
    answer = reply.json
    if "error" in answer:
        error = answer["error"]
        assert error["code"] in CODES, told
        assert error["data"]["error_id"] != "internal-error", f"{told}\n{api.log()[-700:]}"
        assert error["message"], told
        return False
    schema = {**method["result"]["schema"], "components": DOCUMENT["components"]}
    jsonschema.validate(answer["result"], schema)
    return True


METHODS = [method for method in DOCUMENT["methods"] if method["name"] not in LEFT_OUT]


READING = {
    method["name"]
    for method in METHODS
    if method["name"].rpartition(".")[2] in ("list", "export", "read", "status", "snapshot", "regions")
}
#: They are about something that these tests have not made, or about what Kamailio knows.
NOTHING_THERE = {
    *(
        "campaign.admission.list",
        "campaign.callerid.list",
        "campaign.export",
        "ivr.export",
        "ivr.table.export",
    ),
    *("lead.list", "lockout.list", "queue.member.list", "queue.skill.list", "voicemail.list"),
}


def test_the_document_is_one_of_openrpc() -> None:
    assert DOCUMENT["openrpc"] == "1.3.2"
    for method in METHODS:
        assert {"name", "params", "result", "errors"} <= method.keys()
        for parameter in method["params"]:
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
        jsonschema.Draft202012Validator.check_schema(method["result"]["schema"])


def fuzz(api: Api, tokens: list[str], method: dict[str, Any]) -> None:
    """Tell one method whatever comes to mind."""

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(params=requests(method))
    def one(params: Any) -> None:
        check(api, tokens[len(json.dumps(params)) % 2], method, params)

    one()


def test_whatever_is_told_is_answered_as_the_document_says(api: Api) -> None:
    tokens = [api.token("system", "admin"), api.token("acme", "admin")]
    failed = []
    for method in METHODS:
        if method["name"] != "rpc.discover":
            try:
                fuzz(api, tokens, method)
            except AssertionError as error:  # all of them are wanted, not the first alone
                failed.append(str(error).partition("\nFalsifying")[0][:1500])
    assert not failed, "\n\n".join(failed)
    assert "Traceback" not in api.log(), api.log()[-4000:]


def test_what_is_left_out_refuses_what_is_wrong(api: Api) -> None:
    tokens = [api.token("system", "admin"), api.token("acme", "admin"), ""]
    wrong = ({"nonsense": 1}, [1] * 9, {"job": "nonsense"}, {"timeout": "soon"}, {"job": None, "timeout": -1})
    for method in DOCUMENT["methods"]:
        if method["name"] in LEFT_OUT:
            for params in wrong:
                names = {parameter["name"] for parameter in method["params"]}
                if not isinstance(params, dict) or not params.keys() <= names or "job" in names:
                    assert not any([check(api, token, method, params) for token in tokens]), method["name"]


def plausible(method: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Parameters with which a method that only reads succeeds."""
    values = {
        "tenant": "acme",
        "name": "day" if method["name"].startswith("schedule") else "gw",
        "username": "101",
        "gateway": "gw",
        "number": "74951112233",
        "after": 0,
    }
    yield {
        p["name"]: values.get(p["name"]) for p in method["params"] if p["required"] or p["name"] == "tenant"
    }


def test_everything_that_only_reads_answers_in_the_promised_form(api: Api) -> None:
    system = api.token("system", "admin")
    done = set()
    for method in METHODS:
        if method["name"] in READING:
            for params in plausible(method):
                done.add(method["name"] if check(api, system, method, params) else "")
    assert READING - done == NOTHING_THERE


def test_an_account_logs_in_as_the_document_says(api: Api) -> None:
    method = next(item for item in DOCUMENT["methods"] if item["name"] == "session.login")
    assert check(api, "", method, {"username": "101", "place": "acme", "password": PASSWORD})
    for params in ({}, {"username": 1}, {"username": "\0", "place": "\0", "password": "\ud800"}):
        assert not check(api, "", method, params)


def test_bytes_that_are_no_request_are_answered_too(api: Api) -> None:
    rng = random.Random(7)
    whole = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "folder.list", "params": {}}).encode()
    token = api.token("acme")
    for _ in range(300):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(body))
            body[place : place + rng.randint(0, 3)] = bytes(rng.choices(range(256), k=rng.randint(0, 4)))
        reply = api.http("POST", "/v1/rpc", bytes(body), {"Authorization": f"Bearer {token}"})
        assert reply.status < 500, bytes(body)
    for path in ("/", "/v1", "/v1/nothing", "/v1/events/poll", "/v1/socket", "/v1/events?kind=" + "x" * 5000):
        assert api.http("GET", path, headers={"Authorization": "Bearer x"}).status < 500
    for _ in range(100):
        path = "/v1/" + "".join(rng.choices(string.printable.replace("\n", "").split("\t")[0], k=10)).replace(
            " ", ""
        )
        assert api.http("GET", path).status < 500
