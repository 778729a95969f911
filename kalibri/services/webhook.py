"""Webhooks: events that are posted to addresses of tenants, each until it is taken or given up.

Decides which address may be asked for, how often and when an event is tried again, and what the signature is.
Sending is done by api/webhooks.py. Deliveries are at least once: a receiver knows a repetition by its id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from callcore.errors import BadInput, NotFound
from callcore.states import DeliveryState
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("webhook")

#: Tries until an event is given up: with the delays between them about six hours.
MAX_ATTEMPTS = 14
FIRST_DELAY_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 3600.0
#: How long a sender may take; then another may try.
LEASE_SECONDS = 120.0
#: Events of which deliveries are made in one transaction, for each webhook.
EVENTS_AT_ONCE = 2000
#: Of one webhook, so many are sent at the same time.
AT_ONCE_EACH = 2
KEEP_DEAD_DAYS = 30
MAX_KINDS = 100


class BadWebhook(BadInput):
    """Events cannot be posted there."""

    error_id = "bad-webhook"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A webhook as it is listed."""

    tenant_id: int
    #: system: events of all tenants.
    tenant: str
    webhook_id: int
    url: str
    #: Kinds, with * at the end for all that begin so; empty: all.
    kinds: tuple[str, ...]
    enabled: bool
    note: str
    created_at: datetime
    #: When an event was last taken.
    sent_at: datetime | None
    failed_at: datetime | None
    last_error: str
    #: Events that wait.
    pending: int
    #: Events that were given up.
    dead: int


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """What can be changed of a webhook."""

    url: str
    kinds: tuple[str, ...] = ()
    enabled: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class NewWebhook:
    """A webhook just made, with the key of its signature: nobody is told it again."""

    webhook_id: int
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event that was not delivered yet, or was given up."""

    tenant_id: int
    delivery_id: int
    webhook_id: int
    url: str
    #: Negative: a test.
    event_seq: int
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime
    last_error: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A delivery that somebody is about to send."""

    tenant_id: int
    delivery_id: int
    webhook_id: int
    event_seq: int
    body: str
    attempts: int
    url: str
    secret: str = field(repr=False)


# ----------------------------------------------------------------------------------------- configuration


def list_webhooks(conn: Conn, *, tenant_id: int | None) -> list[Webhook]:
    """Return webhooks; None: of all tenants."""
    return db.fetch_all(conn, Webhook, SQL["list_webhooks"], tenant_id=tenant_id, webhook_id=None)


def find(conn: Conn, *, tenant_id: int, webhook_id: int) -> Webhook:
    """Return one webhook; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Webhook, SQL["list_webhooks"], tenant_id=tenant_id, webhook_id=webhook_id)
    return db.require(found, "webhook", webhook_id)


def add(conn: Conn, *, tenant_id: int, url: str, kinds: Sequence[str] = (), note: str = "") -> NewWebhook:
    """Post events from now on to an address; raises BadWebhook."""
    settings = _checked(WebhookSettings(url=url, kinds=tuple(kinds), note=note))
    secret = secrets.token_urlsafe(32)
    webhook_id: int = db.fetch_value(
        conn,
        SQL["add_webhook"],
        tenant_id=tenant_id,
        url=settings.url,
        kinds=list(settings.kinds),
        note=note,
        secret=secret,
    )
    return NewWebhook(webhook_id=webhook_id, secret=secret)


def change(conn: Conn, *, tenant_id: int, webhook_id: int, **changes: Any) -> Webhook:
    """Change fields of WebhookSettings; raises NotFound, BadWebhook."""
    with conn.transaction():
        key = {"tenant_id": tenant_id, "webhook_id": webhook_id}
        found = db.fetch_one(conn, WebhookSettings, SQL["lock_webhook"], **key)
        after = _checked(replace(db.require(found, "webhook", webhook_id), **changes))
        db.execute(conn, SQL["set_webhook"], **key, **{**vars(after), "kinds": list(after.kinds)})
        return find(conn, **key)


def renew_secret(conn: Conn, *, tenant_id: int, webhook_id: int) -> NewWebhook:
    """Give a webhook another key for its signature; raises NotFound."""
    secret = secrets.token_urlsafe(32)
    key = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    if not db.execute(conn, SQL["set_secret"], **key, secret=secret):
        raise NotFound(f'there is no webhook "{webhook_id}"')
    return NewWebhook(webhook_id=webhook_id, secret=secret)


def remove(conn: Conn, *, tenant_id: int, webhook_id: int) -> None:
    """Remove a webhook with all that waits for it; raises NotFound."""
    if not db.execute(conn, SQL["remove_webhook"], tenant_id=tenant_id, webhook_id=webhook_id):
        raise NotFound(f'there is no webhook "{webhook_id}"')


def test(conn: Conn, *, tenant_id: int, webhook_id: int) -> None:
    """Post a test event to one webhook; raises NotFound."""
    with conn.transaction():
        find(conn, tenant_id=tenant_id, webhook_id=webhook_id)
        body = json.dumps({"kind": "webhook.test", "tenant_id": tenant_id, "data": {}})
        db.execute(conn, SQL["add_test"], tenant_id=tenant_id, webhook_id=webhook_id, body=body)


def _checked(settings: WebhookSettings) -> WebhookSettings:
    try:
        parts = urlsplit(settings.url)
        port = parts.port
    except ValueError as error:
        raise BadWebhook(f"address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadWebhook("address: write https://host/path")
    if parts.username is not None or parts.fragment or not settings.url.isascii():
        raise BadWebhook("address: no user, no fragment, ASCII only; requests are signed instead")
    if not settings.url.isprintable() or " " in settings.url:
        raise BadWebhook("address: no blanks, no control characters")
    if len(settings.kinds) > MAX_KINDS:
        raise BadWebhook(f"at most {MAX_KINDS} kinds")
    for kind in settings.kinds:
        if not 0 < len(kind) <= 100 or "*" in kind[:-1] or not kind.isprintable():
            raise BadWebhook(f"{kind[:100]!r} is no kind: write call.answer or call.*")
    return settings


# -------------------------------------------------------------------------------------------- deliveries


def list_deliveries(
    conn: Conn,
    *,
    tenant_id: int | None,
    webhook_id: int | None = None,
    state: DeliveryState = DeliveryState.DEAD,
    limit: int = 100,
) -> list[Delivery]:
    """Return deliveries that were given up (or still wait), the oldest first."""
    return db.fetch_all(
        conn,
        Delivery,
        SQL["list_deliveries"],
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        state=state,
        limit=limit,
    )


def retry(conn: Conn, *, tenant_id: int | None, delivery_ids: Sequence[int]) -> int:
    """Try given-up deliveries again; return how many there were."""
    return db.execute(conn, SQL["retry_deliveries"], tenant_id=tenant_id, delivery_ids=list(delivery_ids))


def drop(conn: Conn, *, tenant_id: int | None, delivery_ids: Sequence[int]) -> int:
    """Forget given-up deliveries; return how many there were."""
    return db.execute(conn, SQL["drop_deliveries"], tenant_id=tenant_id, delivery_ids=list(delivery_ids))


def make_deliveries(conn: Conn) -> int:
    """Make deliveries of new events; return for how many webhooks there were any events to look at."""
    return db.execute(conn, SQL["make_deliveries"], most=EVENTS_AT_ONCE)


def claim(conn: Conn, *, limit: int, busy: Sequence[int] = ()) -> list[Claim]:
    """Take deliveries to send; busy: webhooks that have enough in hand."""
    return db.fetch_all(
        conn,
        Claim,
        SQL["claim_deliveries"],
        limit=limit,
        busy=list(busy),
        each=AT_ONCE_EACH,
        lease_seconds=LEASE_SECONDS,
    )


def delivered(conn: Conn, claimed: Claim) -> None:
    """Note that an event was taken."""
    db.execute(conn, SQL["delivered"], **_key(claimed))


def not_delivered(conn: Conn, claimed: Claim, error: str) -> None:
    """Note that an event was not taken, and when it is tried again."""
    db.execute(
        conn,
        SQL["not_delivered"],
        **_key(claimed),
        error=error[:500],
        delay_seconds=delay_seconds(claimed.attempts),
        give_up=claimed.attempts >= MAX_ATTEMPTS,
    )


def _key(claimed: Claim) -> dict[str, int]:
    return {
        "tenant_id": claimed.tenant_id,
        "delivery_id": claimed.delivery_id,
        "webhook_id": claimed.webhook_id,
    }


def forget_dead(conn: Conn) -> int:
    """Remove what was given up long ago; return how many."""
    return db.execute(conn, SQL["forget_dead"], days=KEEP_DEAD_DAYS)


def delay_seconds(attempts: int) -> float:
    """Return how long to wait after so many tries: doubled each time."""
    return min(FIRST_DELAY_SECONDS * 2.0 ** (attempts - 1), LONGEST_DELAY_SECONDS)


def signature(secret: str, unix_seconds: int, body: str) -> str:
    """Return the value of X-Kalibri-Signature: HMAC-SHA-256 over time, a dot and the body, in hexadecimal."""
    told = hmac.new(secret.encode(), f"{unix_seconds}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={unix_seconds},v1={told}"
