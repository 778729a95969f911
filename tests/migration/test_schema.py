"""schema.sql is the sum of the migrations, explains itself, and uses the words that Python uses."""

from __future__ import annotations

import difflib
import re
import subprocess
from enum import StrEnum

import psycopg
import pytest

from callcore.account_service import ForwardCondition, ForwardKind, HuntMode, ScreenList
from callcore.agent import AgentState
from callcore.attempt import AttemptState, Outcome
from callcore.call_queue import (
    EntryEnd,
    EntryKind,
    EntryState,
    OfferOutcome,
    OfferState,
    QueueAnchor,
    QueueStaffing,
    QueueStrategy,
)
from callcore.card import CardLookup, PopMoment
from callcore.dial import (
    CampaignMode,
    CampaignState,
    DialReason,
    DoNotCallScope,
    LeadNumberState,
    LeadPriority,
    LeadResult,
    LeadState,
    RetryAction,
)
from callcore.ears_verdict import HangupReason
from callcore.inventory import NumberState
from callcore.recording import RecordingReason, RecordingState
from callcore.star_code import StarAction
from callcore.states import (
    ApiScope,
    DeliveryState,
    GatewayHealth,
    JobOutcome,
    LetterState,
    NodeKind,
    RegistrationState,
    RelayMode,
    ReportEvery,
)
from kalibri.pg_cluster import binary
from kalibri.services import schema
from kemi.ks_route.model import DestinationKind, Direction, PatternClass

ENUMS: dict[str, type[StrEnum]] = {
    "agent_state": AgentState,
    "api_scope": ApiScope,
    "attempt_outcome": Outcome,
    "attempt_state": AttemptState,
    "campaign_mode": CampaignMode,
    "campaign_state": CampaignState,
    "card_lookup": CardLookup,
    "delivery_state": DeliveryState,
    "destination_kind": DestinationKind,
    "dial_reason": DialReason,
    "do_not_call_scope": DoNotCallScope,
    "entry_end": EntryEnd,
    "entry_kind": EntryKind,
    "entry_state": EntryState,
    "forward_condition": ForwardCondition,
    "forward_kind": ForwardKind,
    "gateway_health": GatewayHealth,
    "hangup_reason": HangupReason,
    "hunt_mode": HuntMode,
    "job_outcome": JobOutcome,
    "lead_number_state": LeadNumberState,
    "lead_priority": LeadPriority,
    "lead_result": LeadResult,
    "lead_state": LeadState,
    "letter_state": LetterState,
    "node_kind": NodeKind,
    "number_state": NumberState,
    "offer_outcome": OfferOutcome,
    "offer_state": OfferState,
    "pattern_class": PatternClass,
    "pop_moment": PopMoment,
    "queue_anchor": QueueAnchor,
    "queue_staffing": QueueStaffing,
    "queue_strategy": QueueStrategy,
    "recording_reason": RecordingReason,
    "recording_state": RecordingState,
    "registration_state": RegistrationState,
    "relay_mode": RelayMode,
    "retry_action": RetryAction,
    "report_every": ReportEvery,
    "route_direction": Direction,
    "screen_list": ScreenList,
    "star_action": StarAction,
}

REMEDY = (
    "schema.sql and the sum of migrations/ differ. A released schema changes by a new file"
    " migrations/NNNN_pre_what.sql (or _post_). As long as a file of"
    " schema/ is not released, its migration is its copy."
)


def dump(dsn: str) -> list[str]:
    command = [str(binary("pg_dump")), "--schema-only", "--no-owner", dsn]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if not line.startswith(("\\", "-- Dumped"))]  # a random token


def test_migrations_in_order_give_schema_sql(empty_dsn: str, pg_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as conn:
        for path in schema.migration_files().values():
            conn.execute(path.read_bytes())
    difference = list(difflib.unified_diff(dump(pg_dsn), dump(empty_dsn), "schema.sql", "migrations", n=1))
    assert not difference, REMEDY + "\n" + "\n".join(difference)


def test_tables_views_indexes_and_functions_have_comments(db: psycopg.Connection) -> None:
    uncommented = db.execute(
        """
        SELECT oid::regclass::text FROM pg_class c
        WHERE relnamespace::regnamespace::text IN ('public', 'kamailio')
          AND relkind IN ('r', 'p', 'v', 'i', 'I')
          AND obj_description(oid, 'pg_class') IS NULL
          AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)
        UNION ALL
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace::regnamespace::text IN ('public', 'kamailio')
          AND obj_description(oid, 'pg_proc') IS NULL
        """
    ).fetchall()
    assert uncommented == []


def enum_labels() -> dict[str, list[tuple[str, str]]]:
    """Name of the enum → its labels with their comments, as schema.sql has them."""
    found = {}
    for name, body in re.findall(
        r"^CREATE TYPE (\w+) AS ENUM \((.*?)^\);", schema.read(), re.MULTILINE | re.DOTALL
    ):
        found[name] = re.findall(r"^    '(\w+)',? *(?:-- *(.*))?$", body, re.MULTILINE)
        assert len(found[name]) == len(body.strip().splitlines())
    return found


def test_every_enum_label_says_what_it_means() -> None:
    for name, labels in enum_labels().items():
        for label, comment in labels:
            assert len(comment) > 5, f"{name}: {label} has no comment"


@pytest.mark.parametrize("name", sorted(enum_labels()))
def test_python_has_the_words_of_the_database(name: str, db: psycopg.Connection) -> None:
    rows = db.execute(
        "SELECT enumlabel FROM pg_enum WHERE enumtypid = %s::regtype ORDER BY enumsortorder", [name]
    ).fetchall()
    assert (
        [label for (label,) in rows]
        == [member.value for member in ENUMS[name]]
        == [label for label, _ in enum_labels()[name]]
    )


def test_keys_of_tenants_begin_with_the_tenant(db: psycopg.Connection) -> None:
    """Who forgets the tenant in a look-up by key then finds nothing, instead of somebody else's object."""
    rows = db.execute(
        """
        SELECT conrelid::regclass::text, min(a.attname) FILTER (WHERE a.attnum = conkey[1])
        FROM pg_constraint JOIN pg_attribute a ON attrelid = conrelid
        WHERE contype = 'p' AND connamespace = 'public'::regnamespace
        GROUP BY 1
        """
    ).fetchall()
    keys: dict[str, str] = dict(rows)
    owned = ["account", "account_domain", "address_book_entry", "caller_id", "domain", "route", "schedule"]
    owned += [
        "agent_card",
        "caller_cache",
        "caller_lookup",
        "form",
        "form_sheet",
        "form_version",
        "screen_pop",
    ]
    owned += ["music_class", "prompt", "recording", "recording_event", "recording_file", "recording_policy"]
    owned += ["agent", "agent_live", "agent_leg", "agent_skill", "last_agent", "leg", "offer", "pause_reason"]
    owned += [
        "queue",
        "queue_entry",
        "queue_live",
        "queue_member",
        "queue_skill",
        "ready_agent",
        "rejection",
        "round_robin",
        "skill",
    ]
    owned += ["recording", "recording_event", "recording_file", "recording_policy"]
    owned += ["campaign", "campaign_list", "campaign_caller_id", "campaign_admission", "campaign_hold"]
    owned += ["caller_id_use", "do_not_call", "lead", "lead_number", "retry_rule"]
    assert {keys[table] for table in owned} == {"tenant_id"}
