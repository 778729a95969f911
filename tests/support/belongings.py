"""What a tenant has in its queues, campaigns, recordings and services: one of each, for tests that look for leaks.

Names that a stranger would guess are `name`; whatever he must never see holds `secret`, a word, or `number`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from kalibri.db import Conn
from kalibri.services import report_facts
from tests.support.acd_field import Field
from tests.support.dial_field import DialField
from tests.support.rows import add_campaign


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose belongings they are, and how they are marked."""

    conn: Conn
    tenant: int
    name: str
    secret: str
    number: str

    def add(self, table: str, **columns: object) -> None:
        """Store one row of the tenant."""
        values = {"tenant_id": self.tenant, **columns}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        self.conn.execute(
            statement,
            {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()},
        )


def give_queues(owner: Owner, call: UUID) -> None:
    """Two queues, an agent whose phone rings for `call`, a caller who waits, a callback, and their facts."""
    conn, field = owner.conn, Field(owner.conn, tenant=owner.tenant)
    field.host()
    queue = field.queue(owner.name, ring_seconds=600, callback_enabled=True)
    field.queue(owner.secret)
    agent = field.agent(owner.name, queue, number=owner.number)
    conn.execute("UPDATE agent SET display_name = %s WHERE agent_id = %s", [owner.secret, agent])
    ringing = field.enter(queue, owner.number, call=call)
    assert ringing.offer_id is not None
    field.enter(queue, owner.number)
    asks = field.enter(queue, owner.number)
    field.acts("acd_callback", asks.entry_id, owner.number)
    for name in (owner.name, owner.secret):
        owner.add("skill", name=name)
        owner.add("pause_reason", name=name)
    conn.execute(
        "INSERT INTO queue_skill (tenant_id, queue_id, skill_id, level)"
        " SELECT tenant_id, %s, skill_id, 0 FROM skill WHERE tenant_id = %s",
        [queue, owner.tenant],
    )
    form = conn.execute(
        "SELECT form_id, version FROM form_version WHERE tenant_id = %s", [owner.tenant]
    ).fetchone()
    assert form is not None
    owner.add(
        "form_sheet",
        **dict(zip(("form_id", "version"), form, strict=True)),
        **{"offer_id": ringing.offer_id, "entry_id": ringing.entry_id, "call_id": call},
        **{"queue_id": queue, "agent_id": agent, "caller": owner.number, "answers": {"a": owner.secret}},
    )
    report_facts.catch_up(conn)


def give_campaign(owner: Owner) -> None:
    """A campaign with a lead that was dialled once, its rules, and a number that must not be called."""
    dial = DialField(owner.conn, tenant=owner.tenant)
    campaign = add_campaign(owner.conn, owner.tenant, owner.name)
    owner.conn.execute("UPDATE campaign SET note = %s WHERE campaign_id = %s", [owner.secret, campaign])
    lead = dial.lead(campaign, owner.number, name=owner.secret)
    owner.conn.execute("UPDATE lead SET external_id = %s WHERE lead_id = %s", [owner.name, lead])
    owner.conn.execute(
        "INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, state, outcome,"
        " ordered_at, expires_at, taken_at, ended_at, settled_at)"
        " VALUES (%s, %s, %s, 1, %s, %s, 'settled', 'busy', now(), now(), now(), now(), now())",
        [owner.tenant, campaign, lead, uuid4(), owner.number],
    )
    owner.add("campaign_caller_id", campaign_id=campaign, number=owner.number)
    owner.add("retry_rule", table_name=owner.name, position=1, action="stop", note=owner.secret)
    owner.add("do_not_call", number=owner.number, note=owner.secret)


def give_recording(owner: Owner, recording: UUID, call: UUID) -> None:
    """A voice message of a mailbox, a prompt, music, a fingerprint."""
    owner.conn.execute(
        "INSERT INTO recording (tenant_id, recording_id, call_id, started_at, stopped_at, a_number, b_number,"
        " reason, node, host, state, duration_ms, indexed_at)"
        " VALUES (%s, %s, %s, now(), now(), %s, %s, 'demand', %s, 'nowhere', 'indexed', 1000, now())",
        [owner.tenant, recording, call, owner.number, owner.number, owner.secret],
    )
    path = f"{owner.tenant}/{recording}.mp3"
    owner.add("recording_file", recording_id=recording, name="mp3", path=path, bytes=1, sha256="0" * 64)
    owner.add("recording_policy", retention_days=77)
    owner.add("mailbox", name=owner.name, recipients=[f"{owner.secret}@example.net"])
    owner.conn.execute(
        "INSERT INTO voice_message (tenant_id, recording_id, mailbox, caller, left_at, duration_ms)"
        " VALUES (%s, %s, %s, %s, now(), 1000)",
        [owner.tenant, recording, owner.name, owner.number],
    )
    owner.add(
        "prompt", name=owner.name, language="en", version=1, text=owner.secret, duration_ms=1, master=b""
    )
    owner.add("music_class", name=owner.name, prompts=[owner.secret])
    owner.add(
        "fingerprint",
        **{"name": owner.name, "reason": "busy", "note": owner.secret, "duration_ms": 3000, "version": 1},
        **{"words": b"", "sounds": b"", "audio": b""},
    )


def give_services(owner: Owner, username: str) -> None:
    """What an account has set and watches, a hunt group, a parked call, a webhook with a delivery, a report."""
    row = owner.conn.execute(
        "SELECT account_id FROM account WHERE tenant_id = %s AND username = %s", [owner.tenant, username]
    ).fetchone()
    assert row is not None
    account = row[0]
    owner.add("account_service", account_id=account, pickup_group=owner.secret)
    owner.add(
        "account_forward", account_id=account, condition="always", kind="number", destination=owner.number
    )
    owner.add("account_caller", account_id=account, pattern=owner.number, list="black")
    owner.add("account_speed_dial", account_id=account, slot="1", destination=owner.number)
    owner.add("hunt_group", name=owner.name, fallback_kind="number", fallback=owner.number)
    owner.conn.execute(
        "INSERT INTO hunt_group_member SELECT tenant_id, group_id, %s, 1 FROM hunt_group WHERE tenant_id = %s",
        [account, owner.tenant],
    )
    owner.add("service_code", action="dnd_on", code="*77")
    owner.add("park_policy", overflow_kind="number", overflow=owner.number)
    owner.add("parked_call", slot=1, call_id=uuid4(), host="nowhere", caller=owner.number)
    owner.add("line_watch", username=owner.secret, proxy="nowhere", until="infinity")
    owner.add("line_state", username=owner.secret, proxy="nowhere", registered=True)
    # Not enabled: what ks-api does by itself would look like a change.
    owner.add("webhook", url=f"https://{owner.secret}.example/", secret=owner.secret, enabled=False)
    owner.conn.execute(
        "INSERT INTO webhook_delivery (tenant_id, webhook_id, event_seq, body, state, last_error)"
        " SELECT tenant_id, webhook_id, 1, '{}', 'dead', %s FROM webhook WHERE tenant_id = %s",
        [owner.secret, owner.tenant],
    )
    owner.add(
        "report_schedule",
        **{
            "name": owner.name,
            "report": "queue",
            "every": "day",
            "recipients": [f"{owner.secret}@example.net"],
        },
    )
    owner.add("retention", keep_calls_days=77)
    owner.conn.execute(
        "INSERT INTO archive_file (tenant_id, noun, day, path, row_count, size_bytes, sha256)"
        " VALUES (%s, 'call', '2020-01-01', %s, 1, 1, repeat('0', 64))",
        [owner.tenant, owner.secret],
    )
