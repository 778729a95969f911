"""What a tenant decides of its accounts' services: codes that are dialled, and what forwarding may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from callcore import account_service, star_code
from callcore.errors import BadInput
from callcore.star_code import DEFAULT_CODES, StarAction
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("account_service")


@dataclass(frozen=True, kw_only=True)
class ServiceCode:
    """A code as it is listed."""

    action: str
    #: What is dialled; "": the action is switched off.
    code: str
    #: What a tenant has that did not choose.
    usual: str
    #: What follows the code; "": nothing.
    argument: str


@dataclass(frozen=True)
class _Own:
    action: StarAction
    code: str


@dataclass(frozen=True, kw_only=True)
class ForwardPolicy:
    """What forwarding to numbers may cost a tenant."""

    #: Whether accounts may forward out at all.
    to_numbers: bool = account_service.ForwardPolicy().to_numbers
    #: Forwarded calls at once of one account.
    max_calls: int = account_service.ForwardPolicy().max_calls
    #: Most that a call of the expected length may cost; None: no limit.
    max_cost: Decimal | None = None
    #: A forwarded call ends after this time.
    max_seconds: int = account_service.ForwardPolicy().max_seconds


def list_codes(conn: Conn, *, tenant_id: int) -> list[ServiceCode]:
    """Return the code of every action, in the order of the actions."""
    own = {
        row.action: row.code for row in db.fetch_all(conn, _Own, SQL["service_codes"], tenant_id=tenant_id)
    }
    return [
        ServiceCode(
            action=action.value,
            code=own.get(action, usual),
            usual=usual,
            argument=_ARGUMENT.get(action, "number" if action in star_code.ARGUMENTS else ""),
        )
        for action, usual in DEFAULT_CODES.items()
    ]


_ARGUMENT = {
    StarAction.SPEED_SET: "slot*number",
    StarAction.SPEED_CALL: "slot",
    StarAction.PICKUP: "user name",
    StarAction.PARK: "slot, or nothing",
    StarAction.UNPARK: "slot",
    StarAction.MAILBOX: "user name, or nothing",
}


def set_code(conn: Conn, *, tenant_id: int, action: str, code: str | None) -> ServiceCode:
    """Give an action another code; "": switch it off; None: the usual one again. Raises BadInput, AlreadyExists."""
    if action not in tuple(StarAction):
        raise BadInput(f'there is no action "{action}"')
    with conn.transaction():
        if code is None:
            db.execute(conn, SQL["reset_service_code"], tenant_id=tenant_id, action=action)
        else:
            db.execute(conn, SQL["set_service_code"], tenant_id=tenant_id, action=action, code=code)
        codes = list_codes(conn, tenant_id=tenant_id)
        used = [entry.code for entry in codes if entry.code]
        twice = next((code for code in used if used.count(code) > 1), None)
        if twice is not None:
            both = ", ".join(entry.action for entry in codes if entry.code == twice)
            raise BadInput(f"{twice} would mean two things: {both}")
    return next(entry for entry in codes if entry.action == action)


def find_policy(conn: Conn, *, tenant_id: int) -> ForwardPolicy:
    """Return what forwarding may cost a tenant."""
    found = db.fetch_one(conn, ForwardPolicy, SQL["forward_policy"], tenant_id=tenant_id)
    return found or ForwardPolicy()


def set_policy(conn: Conn, *, tenant_id: int, **changes: Any) -> ForwardPolicy:
    """Change fields of ForwardPolicy; raises BadInput."""
    with conn.transaction():
        after = replace(find_policy(conn, tenant_id=tenant_id), **changes)
        db.execute(conn, SQL["set_forward_policy"], tenant_id=tenant_id, **vars(after))
        return after
