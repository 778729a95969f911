"""Preview: an agent accepts or skips the lead that he looks at. One use case, one function.

What may happen when is decided by the SQL functions dial_preview_* (schema/69_preview.sql), under the lock of the
tenant's distribution: of two clicks the first counts, and the second says the same. What follows for a skipped lead
is decided by the retry rules of its campaign. Never calls anybody: a media host does, when it is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from callcore.errors import BadInput, Refused
from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents

SQL = db.statements("preview")
MOST_REASON = 200


class PreviewRefused(Refused):
    """The preview cannot become a call, or be skipped, now."""

    error_id = "preview-refused"


_REFUSALS: Mapping[str, str] = {
    "none": "the agent looks at no lead",
    "accepted": "the lead was accepted, and is being called",
    "skipped": "the lead was skipped",
    "over": "the time was over, or the lead was taken back",
    "unavailable": "the agent is not logged in, or in a call, or his phone is gone",
    "withdrawn": "the lead must not be called any more",
    "no_host": "no media host takes calls",
}


def accept(conn: Conn, *, tenant_id: int, name: str, offer: int | None = None, by: str = "") -> None:
    """Call the lead that an agent looks at: his phone rings first. offer: this preview and no later one.

    Raises NotFound, PreviewRefused (its "state" says why).
    """
    agent = agents.find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "agent_id": agent.agent_id, "offer_id": offer}
    _expect("accepted", db.fetch_value(conn, SQL["accept"], **ids, by=by or name))


def skip(
    conn: Conn, *, tenant_id: int, name: str, reason: str, offer: int | None = None, by: str = ""
) -> None:
    """Do not call the lead that an agent looks at; its retry rules decide what follows.

    reason: why, for people; one word of a-z, 0-9, _ is the verdict that rules are matched with. offer: this
    preview and no later one. Raises NotFound, BadInput, PreviewRefused (its "state" says why).
    """
    told = reason.strip()
    if not told or len(told) > MOST_REASON or not told.isprintable():
        raise BadInput(f"reason: 1 to {MOST_REASON} characters")
    agent = agents.find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "agent_id": agent.agent_id, "offer_id": offer}
    _expect("skipped", db.fetch_value(conn, SQL["skip"], **ids, reason=told, by=by or name))


def _expect(wanted: str, state: object) -> None:
    if state != wanted:
        raise PreviewRefused(_REFUSALS[str(state)], state=str(state))
