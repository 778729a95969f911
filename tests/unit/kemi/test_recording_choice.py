"""Who decides whether a call is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemi.recording_choice import why_recorded
from tests.support.fake_proxy import TENANT, FakeProxy
from tests.support.index_files import account_record


@pytest.mark.parametrize(
    ("route", "accounts", "tenant", "reason"),
    [
        (True, (), False, "route"),
        (True, (False,), False, "route"),
        (False, (True, True), True, None),
        (None, (), False, None),
        (None, (), True, "account"),
        (None, (None, None), False, None),
        (None, (None, True), False, "account"),
        (None, (True, False), True, None),
        (None, (False,), True, None),
    ],
)
def test_the_route_decides_then_the_accounts_then_the_tenant(
    route: bool | None, accounts: tuple[bool | None, ...], tenant: bool, reason: str | None
) -> None:
    assert why_recorded(route, accounts, tenant) == reason


@pytest.mark.parametrize(
    ("records", "policy", "recorded"),
    [
        ({}, False, None),
        ({"100": True}, False, True),
        ({"101": True}, False, True),
        ({"100": True, "101": False}, False, None),
        ({}, True, True),
        ({"100": False}, True, None),
    ],
)
def test_a_call_between_accounts_is_recorded_when_one_wants_it(
    tmp_path: Path, records: dict[str, bool], policy: bool, recorded: bool | None
) -> None:
    system = {"tenants": {"1": {**TENANT, "record_calls": policy}}}
    proxy = FakeProxy(tmp_path, **system)
    proxy.set_entries(
        {
            f"a:1:{name}": account_record(username=name, tenant_id=1, domains=["demo.example"], record=value)
            for name, value in records.items()
        }
    )
    proxy.send("INVITE", auth=("100", 1))
    assert proxy.journal.path is not None
    lines = [json.loads(line) for line in Path(proxy.journal.path).read_text().splitlines()]
    (route,) = [line["data"] for line in lines if line["kind"] == "call.route"]
    assert route["decision"] == "RelayToAccount"
    assert route["options"].get("record") == recorded
