"""Methods webhook.*: addresses to which events are posted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.method import Fields, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import webhook as webhooks
from kalibri.services.webhook import Delivery, WebhookSettings

CHANGES = Fields(WebhookSettings)
Limit = Annotated[int, Field(ge=1, le=1000)]
DeliveryIds = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(min_length=1, max_length=1000)]


def dead(
    conn: Conn, *, tenant_id: int | None, webhook_id: int | None = None, limit: Limit = 100
) -> list[Delivery]:
    """Return events that were given up, the oldest first."""
    return webhooks.list_deliveries(conn, tenant_id=tenant_id, webhook_id=webhook_id, limit=limit)


def retry(conn: Conn, *, tenant_id: int | None, delivery_ids: DeliveryIds) -> int:
    """Try given-up events again; return how many there were."""
    return webhooks.retry(conn, tenant_id=tenant_id, delivery_ids=delivery_ids)


def drop(conn: Conn, *, tenant_id: int | None, delivery_ids: DeliveryIds) -> int:
    """Forget given-up events; return how many there were."""
    return webhooks.drop(conn, tenant_id=tenant_id, delivery_ids=delivery_ids)


METHODS = (
    Method("webhook.list", webhooks.list_webhooks, Scope.ADMIN, Tenancy.FILTER),
    Method("webhook.add", webhooks.add, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.set", webhooks.change, Scope.ADMIN, Tenancy.OWNER, CHANGES),
    Method("webhook.secret", webhooks.renew_secret, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.rm", webhooks.remove, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.test", webhooks.test, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.dead", dead, Scope.ADMIN, Tenancy.FILTER),
    Method("webhook.retry", retry, Scope.ADMIN, Tenancy.FILTER),
    Method("webhook.drop", drop, Scope.ADMIN, Tenancy.FILTER),
)
