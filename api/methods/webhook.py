"""Methods webhook.*: addresses to which events are posted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.method import Fields, Method, Scope, Tenancy
from kalibri.services import webhook as webhooks
from kalibri.services.webhook import WebhookSettings

CHANGES = Fields(WebhookSettings)
Limit = Annotated[int, Field(ge=1, le=1000)]
DeliveryIds = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(min_length=1, max_length=1000)]


METHODS = (
    Method("webhook.list", webhooks.list_webhooks, Scope.ADMIN, Tenancy.FILTER),
    Method("webhook.add", webhooks.add, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.set", webhooks.change, Scope.ADMIN, Tenancy.OWNER, CHANGES),
    Method("webhook.secret", webhooks.renew_secret, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.rm", webhooks.remove, Scope.ADMIN, Tenancy.OWNER),
    Method("webhook.test", webhooks.test, Scope.ADMIN, Tenancy.OWNER),
    Method(
        "webhook.dead",
        webhooks.list_deliveries,
        Scope.ADMIN,
        Tenancy.FILTER,
        narrow={"limit": Limit},
        hide=("state",),
    ),
    Method(
        "webhook.retry", webhooks.retry, Scope.ADMIN, Tenancy.FILTER, narrow={"delivery_ids": DeliveryIds}
    ),
    Method("webhook.drop", webhooks.drop, Scope.ADMIN, Tenancy.FILTER, narrow={"delivery_ids": DeliveryIds}),
)
