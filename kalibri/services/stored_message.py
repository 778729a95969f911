"""Instant messages for accounts without a registered phone: kept, tried when one is there, deleted when it has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("stored_message")

#: A message that nobody fetched is deleted after this time.
KEEP = timedelta(days=7)
#: Messages that may wait for one account.
MOST = 100
MAX_BODY_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class DueMessage:
    """A message that may be tried now."""

    message_id: int
    tenant_id: int
    #: Host of the AoR of the tenant's accounts.
    realm: str
    username: str
    #: User name or number of who sent it.
    sender: str
    content_type: str
    body: str


def store(conn: Conn, *, tenant_id: int, account_id: int, sender: str, content_type: str, body: str) -> bool:
    """Keep a message for an account; False: too many wait already. Raises BadInput for one that is too long."""
    return bool(
        db.fetch_value(
            conn,
            SQL["store"],
            tenant_id=tenant_id,
            account_id=account_id,
            sender=sender,
            content_type=content_type,
            body=body,
            keep=KEEP,
            most=MOST,
        )
    )


def due(conn: Conn) -> list[DueMessage]:
    """Return messages that may be tried now and whose accounts are registered, oldest first."""
    return db.fetch_all(conn, DueMessage, SQL["due"])


def claim(conn: Conn, *, ids: Iterable[int]) -> set[int]:
    """Take messages for an attempt; return those that nobody else has."""
    return set(db.fetch_value(conn, SQL["claim"], ids=list(ids)) or ())


def delivered(conn: Conn, *, tenant_id: int, message_id: int) -> None:
    """Delete a message that a phone has."""
    db.execute(conn, SQL["delivered"], tenant_id=tenant_id, message_id=message_id)
