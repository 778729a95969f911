"""Rows that tests of other parts need, written straight into the tables."""

from __future__ import annotations

from typing import Any

from kalibri.db import Conn

HA1 = {"md5": "0" * 32, "sha256": "0" * 64}


def add_tenant(conn: Conn, name: str) -> int:
    """Make a tenant with the domain <name>.example; return its id."""
    tenant_id = _value(
        conn, "INSERT INTO tenant (name, realm) VALUES (%s, %s) RETURNING tenant_id", name, name
    )
    conn.execute("INSERT INTO domain (tenant_id, name) VALUES (%s, %s)", [tenant_id, f"{name}.example"])
    return int(tenant_id)


def add_account(conn: Conn, tenant_id: int, username: str) -> int:
    """Make an account that may register in all domains of its tenant; return its id."""
    account_id = _value(
        conn,
        "INSERT INTO account (tenant_id, username, ha1_md5, ha1_sha256) VALUES (%s, %s, %s, %s) RETURNING account_id",
        tenant_id,
        username,
        HA1["md5"],
        HA1["sha256"],
    )
    conn.execute(
        "INSERT INTO account_domain SELECT tenant_id, %s, domain_id FROM domain WHERE tenant_id = %s",
        [account_id, tenant_id],
    )
    return int(account_id)


def add_gateway(conn: Conn, name: str, *, tenant_id: int = 0, host: str = "192.0.2.1", **columns: Any) -> int:
    """Make a gateway; columns: max_calls, region, source_networks; return its id."""
    return int(
        _value(
            conn,
            "INSERT INTO gateway (tenant_id, name, host, max_calls, region, source_networks)"
            " VALUES (%s, %s, %s, %s, %s, %s::cidr[]) RETURNING gateway_id",
            tenant_id,
            name,
            host,
            columns.get("max_calls"),
            columns.get("region"),
            columns.get("source_networks", []),
        )
    )


def add_rate(conn: Conn, gateway_id: int, price: str, *, prefix: str = "") -> None:
    """Set a gateway's price a minute for a prefix."""
    conn.execute(
        "INSERT INTO gateway_rate (gateway_id, prefix, price_per_minute) VALUES (%s, %s, %s)",
        [gateway_id, prefix, price],
    )


def add_group(conn: Conn, name: str, members: dict[int, int], *, tenant_id: int = 0) -> int:
    """Make a gateway group of {gateway id: weight}; return its id."""
    statement = "INSERT INTO gateway_group (tenant_id, name) VALUES (%s, %s) RETURNING group_id"
    group_id = int(_value(conn, statement, tenant_id, name))
    for gateway_id, weight in members.items():
        conn.execute("INSERT INTO gateway_group_member VALUES (%s, %s, %s)", [group_id, gateway_id, weight])
    return group_id


def _value(conn: Conn, statement: str, *params: Any) -> Any:
    row = conn.execute(statement, params).fetchone()
    assert row is not None
    return row[0]


def add_campaign(conn: Conn, tenant_id: int, name: str) -> int:
    """Make a broadcast campaign; return its id."""
    statement = (
        "INSERT INTO campaign (tenant_id, name, mode, prompt, consent_required, consent_exemption)"
        " VALUES (%s, %s, 'broadcast', 'hello', false, 'test') RETURNING campaign_id"
    )
    return int(_value(conn, statement, tenant_id, name))
