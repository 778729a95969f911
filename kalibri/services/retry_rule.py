"""Retry rules: what follows from an attempt, as tables that campaigns name.

Decides what may be stored. Which rule fits an attempt, and what it gives, is callcore/dial_retry.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from callcore.dial import RetryAction
from callcore.dial_hours import CallingHours
from callcore.dial_retry import RetryRule
from callcore.errors import NotFound, StillInUse
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("retry_rule")


@dataclass(frozen=True, kw_only=True)
class RetryRuleFields:
    """What a person says of a rule; schema/62_campaign.sql explains each."""

    outcome: str = ""
    code: str = ""
    cause: int | None = None
    verdict: str = ""
    action: RetryAction
    delay_seconds: int = 0
    max_attempts: int | None = None
    charged: bool = True
    hours: str = ""
    growth: float = 1.0
    longest_seconds: int = 86_400
    first: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredRule(RetryRuleFields):
    """A rule as it is listed."""

    tenant_id: int
    tenant: str
    table_name: str
    position: int


def list_rules(conn: Conn, *, tenant_id: int | None, name: str | None = None) -> list[StoredRule]:
    """Return rules in the order in which they are tried. None: of all tenants, all tables."""
    return db.fetch_all(conn, StoredRule, SQL["list_rules"], tenant_id=tenant_id, table_name=name)


def find_table(conn: Conn, *, tenant_id: int, name: str) -> list[RetryRule]:
    """Return the rules of a table, the tenant's own or else the system's; raises NotFound if neither has it."""
    found = db.fetch_all(conn, RetryRule, SQL["rules_for"], tenant_id=tenant_id, table_name=name)
    if not found:
        raise NotFound(f'there is no retry table "{name}"', kind="retry table", name=name)
    return found


def set_rule(conn: Conn, *, tenant_id: int, name: str, position: int, **rule: Any) -> StoredRule:
    """Add a rule (action is needed then) or change fields of the one at a position; raises BadInput, NotFound."""
    with conn.transaction():
        rows = {row.position: row for row in list_rules(conn, tenant_id=tenant_id, name=name)}
        before = rows.get(position)
        if before is None and "action" not in rule:
            raise NotFound(f'the table "{name}" has no rule {position}; a new one needs an action')
        known = (
            {field: getattr(before, field) for field in RetryRuleFields.__dataclass_fields__}
            if before
            else {}
        )
        fields = RetryRuleFields(**(known | rule))
        if fields.hours:
            CallingHours.make(fields.hours)
        params = asdict(fields)
        db.execute(conn, SQL["set_rule"], tenant_id=tenant_id, table_name=name, position=position, **params)
        found = list_rules(conn, tenant_id=tenant_id, name=name)
        return next(row for row in found if row.position == position)


def remove_rule(conn: Conn, *, tenant_id: int, name: str, position: int | None = None) -> int:
    """Take a rule out of a table, or (position None) remove the table; return how many rules went.

    Raises NotFound, StillInUse when a campaign would be left without rules.
    """
    with conn.transaction():
        ids = {"tenant_id": tenant_id, "table_name": name}
        gone = db.execute(conn, SQL["remove_rule"], **ids, position=position)
        if not gone:
            raise NotFound(f'there is no such rule in the retry table "{name}"')
        users = db.fetch_value(conn, SQL["users"], **ids)
        if users:
            raise StillInUse(f"campaigns still use this table: {', '.join(users)}", campaigns=users)
        return gone


def copy_table(conn: Conn, *, tenant_id: int, from_name: str, to_name: str) -> int:
    """Copy a table (the tenant's own, else the system's) to a new one of the tenant; return its rules.

    Raises NotFound, AlreadyExists.
    """
    copied = db.execute(conn, SQL["copy_table"], tenant_id=tenant_id, from_name=from_name, to_name=to_name)
    if not copied:
        raise NotFound(f'there is no retry table "{from_name}"')
    return copied
