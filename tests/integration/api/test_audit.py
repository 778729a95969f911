"""Who changed what: by ksctl, by the API, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from kalibri.db import Conn
from kalibri.services import audit
from tests.support.builders import PASSWORD
from tests.support.fix_api import Api
from tests.support.fix_ksctl import Ksctl


def test_changes_by_api_and_ksctl_are_written_down_alike(api: Api, ksctl: Ksctl, tmp_path: Path) -> None:
    admin = api.token("acme")
    ksctl.ok("domain", "add", "-t", "acme", "acme.example")
    api.result(admin, "account.add", username="101", password=PASSWORD)
    api.result(admin, "account.set", username="101", max_calls=2)
    secret = tmp_path / "password"
    secret.write_text("another long password\n")
    ksctl.ok("account", "passwd", "-t", "acme", "101", "--password-file", str(secret))
    ksctl.ok("account", "rm", "-t", "acme", "101")
    rows = [row for row in api.result(admin, "audit.list", noun="account")]
    told = [(row["operation"], row["origin"]) for row in rows]
    assert told == [("delete", "ksctl"), ("update", "ksctl"), ("update", "api"), ("insert", "api")]
    removed, renewed, changed, made = rows
    assert made["actor"].startswith("token ")
    assert "@" in removed["actor"]
    assert (changed["before"], changed["after"]) == ({"max_calls": None}, {"max_calls": 2})
    assert renewed["before"] == renewed["after"] == {"ha1_md5": "***", "ha1_sha256": "***"}
    assert made["after"]["username"] == "101"
    assert made["before"] is None
    assert removed["before"]["ha1_md5"] == "***"
    assert removed["after"] is None
    assert ksctl.ok("audit list -t acme --noun account -o json").json[0]["operation"] == "delete"
    assert "max_calls: null -> 2" in ksctl.ok("audit list --noun account --since 1h").stdout


def test_no_secret_gets_into_the_log(api: Api, db: Conn) -> None:
    admin = api.token("acme")
    api.result(admin, "gateway.add", name="gw", host="192.0.2.1")
    api.result(admin, "trunk.add", gateway="gw", username="u", password="carrier secret")
    made = api.result(admin, "token.add", name="x", scopes=["read"])
    whole = json.dumps(db.execute("SELECT jsonb_agg(a) FROM audit_log a").fetchone())
    secrets = db.execute("SELECT auth_ha1 FROM trunk UNION SELECT secret_hash FROM api_token").fetchall()
    for (secret,) in [*secrets, (made["token"],)]:
        assert secret not in whole


def test_what_is_no_change_is_not_written_down(db: Conn, ksctl: Ksctl) -> None:
    ksctl.ok("gateway add gw 192.0.2.1")
    before = audit.list_entries(db, tenant_id=None)
    ksctl.ok("gateway set gw --port 5060")
    db.execute("UPDATE gateway SET health = 'down', health_reason = 'x'")
    assert audit.list_entries(db, tenant_id=None) == before


def test_the_log_only_grows(db: Conn, ksctl: Ksctl) -> None:
    ksctl.ok("tenant add acme")
    for statement in ("DELETE FROM audit_log", "UPDATE audit_log SET actor = 'x'", "TRUNCATE audit_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement)  # type: ignore[call-overload]
    assert audit.forget_old(db, days=1) == 0
    assert len(audit.list_entries(db, tenant_id=None)) == 1


def test_a_huge_statement_is_one_entry(db: Conn, ksctl: Ksctl) -> None:
    ksctl.ok("tenant add acme")
    db.execute(
        "INSERT INTO address_book_entry (tenant_id, name, number)"
        " SELECT tenant_id, 'n' || n, n FROM tenant, generate_series(1, 10001) n WHERE name = 'acme'"
    )
    rows = audit.list_entries(db, tenant_id=None, noun="address_book_entry")
    assert [row.key for row in rows] == [{"rows": 10001}]
