"""SIP accounts: who may register, in which domains, with which password.

Passwords come in here and only their HA1 goes on (callcore/digest.py); the user name and the tenant's realm
are part of it, which is why neither can change without a new password. Import and export: account_csv.py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from callcore.digest import check_password, ha1
from callcore.errors import BadInput, NotFound
from callcore.states import RelayMode
from kalibri import db
from kalibri.db import Conn
from kalibri.services.references import refuse_if_used
from kemi.ks_route.model import DestinationKind

SQL = db.statements("account")

GENERATED_CHARACTERS = 16
#: Nothing that is misread on paper or has to be hunted for on a phone's keypad.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account as it is listed."""

    tenant_id: int
    #: Name of the tenant.
    tenant: str
    account_id: int
    username: str
    display_name: str
    #: Where it may register.
    domains: tuple[str, ...]
    #: Phones that are registered now.
    contacts: int
    #: E.164 number shown to gateways when no route substitutes another.
    caller_number: str | None
    max_contacts: int
    #: Calls at once; None: no limit.
    max_calls: int | None
    media_relay: RelayMode
    #: None: the gateway's or the route's.
    ring_timeout_seconds: int | None
    #: Its calls are recorded, or never; None: as its tenant's policy says.
    record: bool | None
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AccountRecord:
    """Everything about an account that is stored, its secrets included; defaults are those of a new one."""

    username: str
    display_name: str = ""
    domains: tuple[str, ...] = ()
    ha1_md5: str = field(default="", repr=False)
    ha1_sha256: str = field(default="", repr=False)
    caller_number: str | None = None
    max_contacts: int = 5
    max_calls: int | None = None
    media_relay: RelayMode = RelayMode.AUTO
    ring_timeout_seconds: int | None = None
    record: bool | None = None
    enabled: bool = True


def list_accounts(conn: Conn, *, tenant_id: int | None) -> list[Account]:
    """Return the accounts of a tenant; None: of all."""
    return db.fetch_all(conn, Account, SQL["list_accounts"], tenant_id=tenant_id, username=None)


def find(conn: Conn, *, tenant_id: int, username: str) -> Account:
    """Return one account of a tenant; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Account, SQL["list_accounts"], tenant_id=tenant_id, username=username)
    return db.require(found, "account", username)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    username: str,
    password: str,
    domains: Sequence[str] | None = None,
    **settings: Any,
) -> Account:
    """Make an account that may register in these domains of its tenant; None: in all it has now.

    settings: further fields of AccountRecord. Raises AlreadyExists, BadInput, NotFound, WeakPassword.
    """
    with conn.transaction():
        names = (
            domain_names(conn, tenant_id=tenant_id)
            if domains is None
            else check_domains(conn, tenant_id=tenant_id, domains=domains)
        )
        record = _with_password(
            conn, tenant_id, AccountRecord(username=username, domains=names, **settings), password
        )
        db.execute(conn, SQL["add_account"], tenant_id=tenant_id, **vars(record))
        save_domains(conn, tenant_id=tenant_id, domains={username: names})
        return find(conn, tenant_id=tenant_id, username=username)


def change(conn: Conn, *, tenant_id: int, username: str, **changes: Any) -> Account:
    """Change fields of AccountRecord, the user name and the secrets apart; raises NotFound, BadInput."""
    with conn.transaction():
        record = replace(find_record(conn, tenant_id=tenant_id, username=username), **changes)
        names = check_domains(conn, tenant_id=tenant_id, domains=record.domains)
        db.execute(conn, SQL["set_account"], tenant_id=tenant_id, **vars(record))
        save_domains(conn, tenant_id=tenant_id, domains={username: names})
        return find(conn, tenant_id=tenant_id, username=username)


def set_password(conn: Conn, *, tenant_id: int, username: str, password: str) -> None:
    """Give an account a new password; raises NotFound, WeakPassword."""
    with conn.transaction():
        record = find_record(conn, tenant_id=tenant_id, username=username)
        record = _with_password(conn, tenant_id, record, password)
        db.execute(conn, SQL["set_account"], tenant_id=tenant_id, **vars(record))


def remove(conn: Conn, *, tenant_id: int, username: str) -> None:
    """Remove an account; raises NotFound, StillInUse while a number or a route leads to it."""
    with conn.transaction():
        refuse_if_used(conn, kind=DestinationKind.ACCOUNT, tenant_id=tenant_id, name=username)
        if not db.execute(conn, SQL["remove_account"], tenant_id=tenant_id, username=username):
            raise NotFound(f'there is no account "{username}"')


def records(conn: Conn, *, tenant_id: int) -> list[AccountRecord]:
    """Return all accounts of a tenant with their secrets, in the order of their names."""
    return db.fetch_all(conn, AccountRecord, SQL["account_records"], tenant_id=tenant_id, username=None)


def find_record(conn: Conn, *, tenant_id: int, username: str) -> AccountRecord:
    """Return one account with its secrets; raises NotFound."""
    found = db.fetch_one(conn, AccountRecord, SQL["account_records"], tenant_id=tenant_id, username=username)
    return db.require(found, "account", username)


def realm(conn: Conn, *, tenant_id: int) -> str:
    """Return the digest realm of a tenant and keep it until the transaction ends; raises NotFound."""
    found = db.fetch_value(conn, SQL["realm"], tenant_id=tenant_id)
    return str(db.require(found, "tenant", tenant_id))


def domain_names(conn: Conn, *, tenant_id: int) -> tuple[str, ...]:
    """Return the domains of a tenant; raises BadInput while there is none, for no account could register."""
    with db.domain_errors():
        rows = conn.execute(SQL["domain_names"], {"tenant_id": tenant_id}).fetchall()
    if not rows:
        raise BadInput("the tenant has no domain yet: ksctl domain add")
    return tuple(name for (name,) in rows)


def check_domains(conn: Conn, *, tenant_id: int, domains: Sequence[str]) -> tuple[str, ...]:
    """Return the domains in the form that is stored; raises NotFound for one that is not the tenant's."""
    names = sorted({name.lower() for name in domains})
    known = domain_names(conn, tenant_id=tenant_id)
    for name in names:
        if name not in known:
            raise NotFound(f'the tenant has no domain "{name}"')
    return tuple(names)


def save_domains(conn: Conn, *, tenant_id: int, domains: Mapping[str, Sequence[str]]) -> None:
    """Store in which domains accounts may register: {user name: domains}."""
    wanted = json.dumps({name: list(names) for name, names in domains.items()})
    db.execute(conn, SQL["leave_domains"], tenant_id=tenant_id, domains=wanted)
    db.execute(conn, SQL["join_domains"], tenant_id=tenant_id, domains=wanted)


def _with_password(conn: Conn, tenant_id: int, record: AccountRecord, password: str) -> AccountRecord:
    check_password(record.username, password)
    secret = ha1(record.username, realm(conn, tenant_id=tenant_id), password)
    return replace(record, ha1_md5=secret.md5, ha1_sha256=secret.sha256)


def generate_password() -> str:
    """Return a random password of about 79 bits that can be read out and typed on a phone."""
    return "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_CHARACTERS))
