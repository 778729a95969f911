"""Reports of calls and gateways, and listings: attempts, states of agents, callers who were not served.

As kalibri/services/report.py, of which this is the other half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from callcore.kpi import mean_seconds, percent, seconds
from kalibri.db import Conn
from kalibri.services.report_frame import MOST_ROWS, Clock, Report, Row, finished, ids_of, rows_of, span_of

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS)]


class CallGroup(StrEnum):
    """By what calls are told apart."""

    NONE = "none"
    DIRECTION = "direction"
    CAUSE = "cause"
    HUNG_UP_BY = "hung_up_by"
    ACCOUNT = "account"


def calls(
    conn: Conn,
    *,
    tenant_id: int | None,
    group: CallGroup = CallGroup.DIRECTION,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return figures of calls, by what `group` says; null: of all tenants, in UTC. Raises BadPeriod."""
    span = span_of(conn, tenant_id, when, clock)
    statement = "account_sums" if group is CallGroup.ACCOUNT else "call_sums"
    parts: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows_of(conn, statement, tenant_id=tenant_id, **span.params):
        key = "" if group is CallGroup.NONE else row[group.value]
        parts[row["period"], key].append(row)
    head = [] if group is CallGroup.NONE else [group.value]
    rows: list[Row] = [
        {**span.heads(number), **dict.fromkeys(head, key), **_call_figures(parts[number, key])}
        for number, key in sorted(parts)
    ]
    columns = [*span.heads(1), *head, "calls", "answered", "answered_percent", "average_setup_seconds"]
    columns += ["longest_setup_seconds", "average_talk_seconds", "longest_talk_seconds", "talk_minutes"]
    columns += ["hung_up_caller", "hung_up_callee", "hung_up_system"]
    notes = ["a call counts when it began; setup: from the INVITE to the answer"]
    return finished(
        conn, "calls", span, rows, tenant_id=tenant_id, columns=columns, notes=notes, source="call"
    )


def _call_figures(parts: Sequence[Mapping[str, Any]]) -> Row:
    total = {
        name: sum(row[name] for row in parts)
        for name in ("calls", "ended", "answered", "attempts", "emergency", "setup_ms", "talk_ms")
    }
    causes: dict[str, float] = defaultdict(int)
    for row in parts:
        if row["cause"]:
            causes[row["cause"]] += row["calls"]
    return {
        "calls": total["calls"],
        "answered": total["answered"],
        "answered_percent": percent(total["answered"], total["calls"]),
        "open": total["calls"] - total["ended"],
        "attempts": total["attempts"],
        "emergency": total["emergency"],
        "average_setup_seconds": mean_seconds(total["setup_ms"], total["answered"]),
        "longest_setup_seconds": seconds(max(row["longest_setup_ms"] for row in parts)),
        "average_talk_seconds": mean_seconds(total["talk_ms"], total["answered"]),
        "longest_talk_seconds": seconds(max(row["longest_talk_ms"] for row in parts)),
        "talk_minutes": round(total["talk_ms"] / 60_000.0, 1),
        **{
            f"hung_up_{side}": sum(row["calls"] for row in parts if row["hung_up_by"] == side)
            for side in ("caller", "callee", "system")
        },
        "causes": dict(sorted(causes.items())),
    }


def gateway(
    conn: Conn,
    *,
    tenant_id: int | None,
    gateways: Sequence[str] = (),
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return the use of each gateway, both ways; null: by calls of all tenants, in UTC. Raises BadPeriod."""
    span = span_of(conn, tenant_id, when, clock)
    found = rows_of(conn, "gateway_sums", tenant_id=tenant_id, **span.params)
    rows: list[Row] = []
    for row in found:
        name = row["gateway"] or f"gateway {row['gateway_id']}"
        if gateways and name not in gateways:
            continue
        period = span.periods[row["period"] - 1]
        rows.append(
            {
                **span.heads(row["period"]),
                "gateway": name,
                "way": "in" if row["inbound"] else "out",
                **{key: row[key] for key in ("calls", "answered")},
                "answered_percent": percent(row["answered"], row["calls"]),
                "average_talk_seconds": mean_seconds(row["talk_ms"], row["answered"]),
                "longest_talk_seconds": seconds(row["longest_talk_ms"]),
                "talk_minutes": round(row["talk_ms"] / 60_000.0, 1),
                "erlang": round(row["talk_ms"] / 1000.0 / period.seconds, 2),
                "average_ring_delay_seconds": mean_seconds(row["ring_delay_ms"], row["rung"]),
                "longest_ring_delay_seconds": seconds(row["longest_ring_delay_ms"]),
                **{key: row[key] for key in ("failed_over", "busy")},
                **{key: row[key] for key in ("refused_4xx", "refused_5xx", "refused_6xx")},
            }
        )
    rows.sort(key=lambda row: (str(row.get("period", "")), str(row["gateway"]), str(row["way"])))
    columns = [*span.heads(1), "gateway", "way", "calls", "answered", "answered_percent"]
    columns += ["average_talk_seconds", "talk_minutes", "erlang", "average_ring_delay_seconds"]
    columns += ["failed_over", "busy", "refused_4xx", "refused_5xx", "refused_6xx"]
    notes = [
        "out: attempts, each counts (ASR: answered_percent, ACD: average_talk_seconds); in: calls that came",
        "erlang: talk of what began in the period ÷ its length; 4xx and 6xx without busy (486, 600)",
    ]
    return finished(
        conn, "gateway", span, rows, tenant_id=tenant_id, columns=columns, notes=notes, source="call"
    )


#: Outcomes of a dial that never was one.
_NOT_DIALLED = ("refused", "untaken", "skipped")


def campaign(
    conn: Conn,
    *,
    tenant_id: int,
    campaigns: Sequence[str] = (),
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return what became of the dials of each campaign; raises BadPeriod."""
    span = span_of(conn, tenant_id, when, clock)
    names = list(campaigns) or None
    parts: dict[tuple[int, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in rows_of(conn, "campaign_sums", tenant_id=tenant_id, names=names, **span.params):
        parts[row["period"], row["campaign"]][row["outcome"]] = row
    rows = [
        {**span.heads(number), "campaign": name, **_campaign_figures(parts[number, name])}
        for number, name in sorted(parts)
    ]
    columns = [*span.heads(1), "campaign", "dials", "picked_up", "answered", "answered_percent", "machine"]
    columns += ["abandoned", "abandoned_percent", "busy", "no_answer", "average_talk_seconds"]
    notes = [
        "a dial counts when it was ordered; answered: a person heard it or talked; its share: of dials",
        "abandoned: answered, and no agent was there in time; its share: of answered + abandoned",
    ]
    return finished(conn, "campaign", span, rows, tenant_id=tenant_id, columns=columns, notes=notes)


def _campaign_figures(found: Mapping[str, Mapping[str, Any]]) -> Row:
    count = {outcome: row["dials"] for outcome, row in found.items()}
    dials = sum(dialled for outcome, dialled in count.items() if outcome not in _NOT_DIALLED)
    answered, abandoned = count.get("answered", 0), count.get("abandoned", 0)
    picked_up = sum(row["picked_up"] for row in found.values())
    talk_ms = found["answered"]["talk_ms"] if answered else 0
    others = ("machine", "unheard", "busy", "no_answer", "declined", "invalid", "opted_out", "congested")
    return {
        "dials": dials,
        "picked_up": picked_up,
        "answered": answered,
        "answered_percent": percent(answered, dials),
        "abandoned": abandoned,
        "abandoned_percent": percent(abandoned, answered + abandoned),
        **{outcome: count.get(outcome, 0) for outcome in (*others, "no_agent", "ours", *_NOT_DIALLED)},
        "open": count.get("", 0),
        "average_ring_seconds": mean_seconds(sum(row["ring_ms"] for row in found.values()), picked_up),
        "average_talk_seconds": mean_seconds(talk_ms, answered),
        "outcomes": {outcome: number for outcome, number in sorted(count.items()) if outcome},
    }


# -------------------------------------------------------------------------------------------- listings


def _listing(
    conn: Conn,
    name: str,
    tenant_id: int,
    given: Mapping[str, Any],
    clock: Clock | None,
    *,
    columns: Sequence[str],
    limit: int,
    notes: Sequence[str] = (),
    **names: Sequence[str],
) -> Report:
    """Return rows as they stand in the facts; names: queues or agents that are wanted."""
    span = span_of(conn, tenant_id, given, clock)
    ids = {f"{kind}_ids": ids_of(conn, kind, tenant_id, wanted) for kind, wanted in names.items()}
    found = rows_of(
        conn,
        name,
        tenant_id=tenant_id,
        start=span.start,
        until=span.until,
        now=span.now.astimezone(UTC),
        limit=limit,
        **ids,
    )
    rows: list[Row] = [
        {key: span.local(value) if isinstance(value, datetime) else value for key, value in row.items()}
        for row in found
    ]
    more = [f"cut after {limit} rows"] if len(rows) == limit else []
    return finished(conn, name, span, rows, tenant_id=tenant_id, columns=columns, notes=[*notes, *more])


def attempts(
    conn: Conn,
    *,
    tenant_id: int,
    queues: Sequence[str] = (),
    agents: Sequence[str] = (),
    limit: Limit = 10_000,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return each offer to an agent, the oldest first; raises NotFound, BadPeriod."""
    columns = ("at", "queue", "caller", "agent", "wait_seconds", "ring_seconds", "talk_seconds")
    return _listing(
        conn,
        "attempts",
        tenant_id,
        when,
        clock,
        queue=queues,
        agent=agents,
        limit=limit,
        columns=(*columns, "answered", "success", "outcome", "hung_up_by"),
        notes=["wait: from entering the queue to this offer; talk without hold"],
    )


def states(
    conn: Conn,
    *,
    tenant_id: int,
    agents: Sequence[str] = (),
    limit: Limit = 10_000,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return what agents did, state by state, the oldest first; raises NotFound, BadPeriod."""
    return _listing(
        conn,
        "states",
        tenant_id,
        when,
        clock,
        agent=agents,
        limit=limit,
        columns=("agent", "started_at", "ended_at", "seconds", "state", "reason", "queue", "by"),
    )


def missed(
    conn: Conn,
    *,
    tenant_id: int,
    queues: Sequence[str] = (),
    limit: Limit = 10_000,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return callers who left a queue unserved and have not come again; raises NotFound, BadPeriod."""
    return _listing(
        conn,
        "missed",
        tenant_id,
        when,
        clock,
        queue=queues,
        limit=limit,
        columns=("at", "queue", "caller", "wait_seconds", "reason", "offers"),
    )
