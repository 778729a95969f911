"""Supplementary services of accounts: forwarding, do-not-disturb, lists of callers, speed dial.

Decides what may be stored; what a call does with it: callcore/account_service.py. Hunt groups: hunt_group.py; codes and
the policy of a tenant: service_code.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from callcore.account_service import ForwardCondition, ForwardKind, ScreenList
from callcore.errors import BadInput, NotFound
from callcore.star_code import StarAction
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("account_service")

#: Phones of an account ring so long before a call that nobody answers is forwarded, if nothing else is said.
DEFAULT_NO_ANSWER_SECONDS = 20
#: Scenario of a tenant that takes messages for its accounts; conf/ivr/voicemail.yaml is one.
VOICEMAIL = "voicemail"
_FORWARD = re.compile(r"(number|account|queue):(.+)|voicemail", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What an account has set."""

    tenant_id: int
    #: Name of the tenant.
    tenant: str
    username: str
    do_not_disturb: bool
    reject_anonymous: bool
    #: Only callers of the white list ring.
    only_white: bool
    hide_number: bool
    pickup_group: str
    #: As "no_answer number:79161234567 after 20 s".
    forwards: tuple[str, ...]
    black: tuple[str, ...]
    white: tuple[str, ...]
    #: As "5=79161234567".
    speed_dial: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceFlags:
    """What is switched on or off, and the pickup group; the defaults are those of an account without services."""

    do_not_disturb: bool = False
    reject_anonymous: bool = False
    only_white: bool = False
    hide_number: bool = False
    pickup_group: str = ""


def list_services(conn: Conn, *, tenant_id: int | None) -> list[Services]:
    """Return the accounts of a tenant that have set anything; None: of all."""
    return db.fetch_all(conn, Services, SQL["account_services"], tenant_id=tenant_id, username=None)


def find(conn: Conn, *, tenant_id: int, username: str) -> Services:
    """Return the services of one account; raises NotFound."""
    found = db.fetch_one(conn, Services, SQL["account_services"], tenant_id=tenant_id, username=username)
    return db.require(found, "account", username)


def change(conn: Conn, *, tenant_id: int, username: str, **changes: Any) -> Services:
    """Change fields of ServiceFlags; raises NotFound, BadInput."""
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        now = find(conn, tenant_id=tenant_id, username=username)
        before = ServiceFlags(**{name: getattr(now, name) for name in ServiceFlags.__dataclass_fields__})
        after = replace(before, **changes)
        if after != before:
            db.execute(
                conn, SQL["set_account_service"], tenant_id=tenant_id, account_id=account_id, **vars(after)
            )
        return find(conn, tenant_id=tenant_id, username=username)


def forward(
    conn: Conn, *, tenant_id: int, username: str, condition: str, to: str, seconds: int | None = None
) -> Services:
    """Forward calls of an account: to "number:…", "account:…", "queue:…" or "voicemail".

    seconds: of no_answer, how long the phones ring before. Raises NotFound, BadInput.
    """
    wanted = _condition(condition)
    kind, destination = _destination(to)
    if seconds is not None and wanted is not ForwardCondition.NO_ANSWER:
        raise BadInput("only no_answer waits some seconds")
    if wanted is ForwardCondition.NO_ANSWER and seconds is None:
        seconds = DEFAULT_NO_ANSWER_SECONDS
    if kind is ForwardKind.ACCOUNT and destination == username:
        raise BadInput("an account cannot be forwarded to itself")
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        require_destination(conn, tenant_id=tenant_id, kind=kind, destination=destination)
        db.execute(
            conn,
            SQL["set_forward"],
            tenant_id=tenant_id,
            account_id=account_id,
            condition=wanted.value,
            kind=kind.value,
            destination=destination,
            seconds=seconds,
        )
        return find(conn, tenant_id=tenant_id, username=username)


def unforward(conn: Conn, *, tenant_id: int, username: str, condition: str | None = None) -> Services:
    """End a forwarding of an account, None: every one; raises NotFound."""
    wanted = None if condition is None else _condition(condition).value
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        gone = db.execute(
            conn, SQL["remove_forward"], tenant_id=tenant_id, account_id=account_id, condition=wanted
        )
        if wanted is not None and not gone:
            raise NotFound(f'account "{username}" has no forwarding {wanted}')
        return find(conn, tenant_id=tenant_id, username=username)


def list_caller(conn: Conn, *, tenant_id: int, username: str, caller: str, which: str) -> Services:
    """Put a caller on the "black" or "white" list of an account; one that ends with * is a prefix.

    Raises NotFound, BadInput.
    """
    if which not in tuple(ScreenList):
        raise BadInput(f'there is no list "{which}": black, white')
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        pattern = caller.removeprefix("+")
        db.execute(
            conn, SQL["list_caller"], tenant_id=tenant_id, account_id=account_id, pattern=pattern, list=which
        )
        return find(conn, tenant_id=tenant_id, username=username)


def unlist_caller(conn: Conn, *, tenant_id: int, username: str, caller: str) -> Services:
    """Take a caller from the lists of an account; raises NotFound."""
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        pattern = caller.removeprefix("+")
        if not db.execute(
            conn, SQL["unlist_caller"], tenant_id=tenant_id, account_id=account_id, pattern=pattern
        ):
            raise NotFound(f'"{caller}" is on no list of account "{username}"')
        return find(conn, tenant_id=tenant_id, username=username)


def set_speed_dial(conn: Conn, *, tenant_id: int, username: str, slot: str, to: str) -> Services:
    """Put a number or user name into a slot (0 to 99); raises NotFound, BadInput."""
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        db.execute(
            conn,
            SQL["set_speed_dial"],
            tenant_id=tenant_id,
            account_id=account_id,
            slot=slot,
            destination=to,
        )
        return find(conn, tenant_id=tenant_id, username=username)


def remove_speed_dial(conn: Conn, *, tenant_id: int, username: str, slot: str) -> Services:
    """Empty a slot; raises NotFound."""
    with conn.transaction():
        account_id = _account_id(conn, tenant_id, username)
        if not db.execute(
            conn, SQL["remove_speed_dial"], tenant_id=tenant_id, account_id=account_id, slot=slot
        ):
            raise NotFound(f'slot {slot} of account "{username}" is empty')
        return find(conn, tenant_id=tenant_id, username=username)


def by_code(
    conn: Conn, *, tenant_id: int, username: str, action: StarAction, argument: str = "", slot: str = ""
) -> None:
    """Do what a code says that was dialled at the phone; raises NotFound, BadInput.

    argument, slot: what followed the code (callcore/star_code.py).
    """
    with conn.transaction():
        db.fetch_value(
            conn,
            SQL["by_code"],
            tenant_id=tenant_id,
            account_id=_account_id(conn, tenant_id, username),
            action=action.value,
            argument=argument,
            slot=slot,
            seconds=DEFAULT_NO_ANSWER_SECONDS,
        )


def require_destination(conn: Conn, *, tenant_id: int, kind: ForwardKind, destination: str) -> None:
    """Raise NotFound if the tenant has no such account, hunt group or queue, or no scenario of its voice mail."""
    if kind is ForwardKind.VOICEMAIL:
        destination = VOICEMAIL
    if not db.fetch_value(
        conn, SQL["destination_exists"], tenant_id=tenant_id, kind=kind.value, destination=destination
    ):
        what = "IVR scenario" if kind is ForwardKind.VOICEMAIL else kind.value
        raise NotFound(f'there is no {what} "{destination}"')


def parse_destination(to: str) -> tuple[ForwardKind, str]:
    """Return kind and name of "number:…", "account:…", "queue:…" or "voicemail"; raises BadInput."""
    return _destination(to)


def _destination(to: str) -> tuple[ForwardKind, str]:
    match = _FORWARD.fullmatch(to)
    if match is None:
        raise BadInput(f'"{to}" is none of number:…, account:…, queue:…, voicemail')
    if match[1] is None:
        return ForwardKind.VOICEMAIL, ""
    return ForwardKind(match[1]), match[2]


def _condition(condition: str) -> ForwardCondition:
    if condition not in tuple(ForwardCondition):
        known = ", ".join(ForwardCondition)
        raise BadInput(f'there is no condition "{condition}": {known}')
    return ForwardCondition(condition)


def _account_id(conn: Conn, tenant_id: int, username: str) -> int:
    found = db.fetch_value(conn, SQL["account_id"], tenant_id=tenant_id, username=username)
    return int(db.require(found, "account", username))
