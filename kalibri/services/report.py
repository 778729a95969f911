"""Reports: what happened in queues and to agents, as tables with figures.

Decides which figures a report has and how its rows are named; the days and hours it covers are
callcore/report_period.py, the formulas callcore/kpi.py, counting is SQL (queries/report.sql) over sums that are ready.
A call counts in the quarter of an hour in which it entered the queue, the time of agents is cut at the ends of
periods. Never reads the tables of the live system.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC
from typing import Any

from callcore.agent import AgentState
from callcore.kpi import (
    LEVEL_TEXTS,
    OCCUPANCY_TEXT,
    LevelVariant,
    OfferSums,
    QueueSums,
    StateTimes,
    mean_seconds,
    percent,
    queue_figures,
    seconds,
)
from callcore.report_period import Step
from kalibri.db import Conn
from kalibri.services.report_frame import (
    Clock,
    Report,
    Row,
    Span,
    finished,
    ids_of,
    names_of,
    rows_of,
    span_of,
)


def _sums(kind: type[Any], row: Mapping[str, Any]) -> Any:
    return kind(**{item.name: row[item.name] for item in fields(kind)})


# ---------------------------------------------------------------------------------------------- queues


def queue(
    conn: Conn,
    *,
    tenant_id: int,
    queues: Sequence[str] = (),
    level: LevelVariant = LevelVariant.WITHOUT_SHORT,
    level_seconds: int | None = None,
    short_seconds: int | None = None,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return the figures of each queue.

    level: how the service level is computed. level_seconds, short_seconds: other thresholds than those that the
    queue had when the calls came. Raises NotFound, BadPeriod.
    """
    span = span_of(conn, tenant_id, when, clock)
    found = _queue_sums(conn, span, tenant_id, queues, level_seconds, short_seconds, each=True)
    name = names_of(conn, "queue", tenant_id)
    owners = sorted({queue_id for _, queue_id in found}, key=name)
    rows: list[Row] = [
        {
            **span.heads(number),
            "queue": name(queue_id),
            **asdict(queue_figures(found.get((number, queue_id), QueueSums()), level)),
        }
        for number in range(1, len(span.periods) + 1)
        for queue_id in owners
    ]
    return finished(
        conn,
        "queue",
        span,
        rows,
        tenant_id=tenant_id,
        columns=[*span.heads(1), "queue", *QUEUE_COLUMNS],
        notes=_level_notes(level, level_seconds, short_seconds),
    )


QUEUE_COLUMNS = (
    "offered",
    "answered",
    "abandoned",
    "abandoned_short",
    "left",
    "service_level_percent",
    "answered_percent",
    "abandoned_percent",
    "average_answer_seconds",
    "longest_wait_seconds",
    "average_talk_seconds",
    "average_handle_seconds",
)


def _level_notes(level: LevelVariant, level_seconds: int | None, short_seconds: int | None) -> list[str]:
    within = f"{level_seconds} s" if level_seconds is not None else "the seconds of the queue at that time"
    short = f"{short_seconds} s" if short_seconds is not None else "the short time of the queue at that time"
    return [
        f"service level ({level}): {LEVEL_TEXTS[level]}; in time: within {within}; short: abandoned within {short}",
        "a call counts when it entered the queue; its wait begins there",
    ]


def _queue_sums(
    conn: Conn,
    span: Span,
    tenant_id: int,
    queues: Sequence[str],
    level_seconds: int | None,
    short_seconds: int | None,
    *,
    each: bool,
) -> dict[tuple[int, int], QueueSums]:
    """Return counts by period and queue (0: all together)."""
    rows = rows_of(
        conn,
        "queue_sums",
        tenant_id=tenant_id,
        queue_ids=ids_of(conn, "queue", tenant_id, queues),
        each=each,
        level=level_seconds,
        short=short_seconds,
        **span.params,
    )
    return {(row["period"], row["queue_id"] or 0): _sums(QueueSums, row) for row in rows}


def interval(
    conn: Conn,
    *,
    tenant_id: int,
    queues: Sequence[str] = (),
    level: LevelVariant = LevelVariant.WITHOUT_SHORT,
    level_seconds: int | None = None,
    short_seconds: int | None = None,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return the figures of queues together, period by period, with the work of all agents in it.

    Periods without calls are there, too. What is said of agents concerns all of the tenant, whatever queues
    are chosen. Raises NotFound, BadPeriod.
    """
    span = span_of(conn, tenant_id, {"step": Step.HALF, **when}, clock)
    found = _queue_sums(conn, span, tenant_id, queues, level_seconds, short_seconds, each=False)
    states = _state_times(conn, span, tenant_id, None, each=False)
    rows = []
    for number, period in enumerate(span.periods, 1):
        figures = queue_figures(found.get((number, 0), QueueSums()), level)
        work = states.get((number, 0), StateTimes())
        staff: Row = {
            "agents": round(work.logged_in / 1000.0 / period.seconds, 2),
            "occupancy_percent": work.occupancy_percent,
        }
        rows.append({**span.heads(number), **asdict(figures), **staff})
    return finished(
        conn,
        "interval",
        span,
        rows,
        tenant_id=tenant_id,
        columns=[*span.heads(1), *QUEUE_COLUMNS, "agents", "occupancy_percent"],
        notes=[
            *_level_notes(level, level_seconds, short_seconds),
            "agents: time logged in ÷ length of the period",
            f"occupancy: {OCCUPANCY_TEXT}",
        ],
    )


def callbacks(
    conn: Conn, *, tenant_id: int, queues: Sequence[str] = (), clock: Clock | None = None, **when: Any
) -> Report:
    """Return how far callbacks got, queue by queue; raises NotFound, BadPeriod."""
    span = span_of(conn, tenant_id, when, clock)
    name = names_of(conn, "queue", tenant_id)
    found = rows_of(
        conn,
        "callback_sums",
        tenant_id=tenant_id,
        queue_ids=ids_of(conn, "queue", tenant_id, queues),
        **span.params,
    )
    rows = [
        {
            **span.heads(row["period"]),
            "queue": name(row["queue_id"]),
            **{key: row[key] for key in ("requested", "dialled", "reached", "joined")},
            **{key: row[key] for key in ("cancelled", "expired", "failed", "dials")},
            "joined_percent": percent(row["joined"], row["requested"]),
            "average_dial_wait_seconds": mean_seconds(row["dial_wait_ms"], row["dialled"]),
            "average_join_wait_seconds": mean_seconds(row["join_wait_ms"], row["joined"]),
            "longest_wait_seconds": seconds(row["longest_wait_ms"]),
            "average_talk_seconds": mean_seconds(row["talk_ms"], row["joined"]),
        }
        for row in sorted(found, key=lambda row: (row["period"], name(row["queue_id"])))
    ]
    columns = [*span.heads(1), "queue", "requested", "dialled", "reached", "joined", "joined_percent"]
    columns += ["cancelled", "expired", "failed", "dials", "average_dial_wait_seconds"]
    columns += ["average_join_wait_seconds", "longest_wait_seconds", "average_talk_seconds"]
    notes = ["a callback counts when it was asked for; dial wait: until the first dial had a result"]
    return finished(conn, "callbacks", span, rows, tenant_id=tenant_id, columns=columns, notes=notes)


# ---------------------------------------------------------------------------------------------- agents

#: State and reason → part of StateTimes.
_PARTS = {
    AgentState.FREE: "free",
    AgentState.RESERVED: "ringing",
    AgentState.RINGING: "ringing",
    AgentState.WRAPUP: "wrapup",
    AgentState.PAUSED: "paused",
}


def _state_rows(
    conn: Conn, span: Span, tenant_id: int, agent_ids: list[int] | None, *, each: bool
) -> list[dict[str, Any]]:
    return rows_of(
        conn,
        "state_sums",
        tenant_id=tenant_id,
        agent_ids=agent_ids,
        each=each,
        now=min(span.now.astimezone(UTC), span.until),
        **span.params,
    )


def _state_times(
    conn: Conn, span: Span, tenant_id: int, agent_ids: list[int] | None, *, each: bool
) -> dict[tuple[int, int], StateTimes]:
    """Return times by period and agent (0: all together)."""
    return _times(_state_rows(conn, span, tenant_id, agent_ids, each=each))


def _times(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, int], StateTimes]:
    total: dict[tuple[int, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        state = AgentState(row["state"])
        part = _PARTS.get(state)
        if state is AgentState.BUSY:
            part = "queue_calls" if row["reason"] == "queue" else "other_calls"
        if part is not None:
            times = total[row["period"], row["agent_id"] or 0]
            times[part] += row["ms"]
            if state is AgentState.PAUSED and row["paid"]:
                times["paused_paid"] += row["ms"]
    return {key: StateTimes(**times) for key, times in total.items()}


def agent(
    conn: Conn,
    *,
    tenant_id: int,
    agents: Sequence[str] = (),
    queues: Sequence[str] = (),
    by_queue: bool = False,
    clock: Clock | None = None,
    **when: Any,
) -> Report:
    """Return what each agent did: time in each state, offers, handling.

    by_queue: a row for each queue of an agent, about offers only, since the other times belong to no queue.
    Raises NotFound, BadPeriod.
    """
    span = span_of(conn, tenant_id, when, clock)
    agent_ids = ids_of(conn, "agent", tenant_id, agents)
    offers = {
        (row["period"], row["agent_id"], row["queue_id"]): _sums(OfferSums, row)
        for row in rows_of(
            conn,
            "offer_sums",
            tenant_id=tenant_id,
            agent_ids=agent_ids,
            queue_ids=ids_of(conn, "queue", tenant_id, queues),
            each_queue=by_queue,
            **span.params,
        )
    }
    if by_queue:
        return _agent_queues(conn, span, tenant_id, offers)
    told = _state_rows(conn, span, tenant_id, agent_ids, each=True)
    times, pauses = _times(told), _pauses(told)
    name = names_of(conn, "agent", tenant_id)
    keys = {(number, agent_id) for number, agent_id, _ in offers} | set(times)
    rows = [
        {
            **span.heads(number),
            "agent": name(agent_id),
            **_agent_times(times.get((number, agent_id), StateTimes())),
            "pauses": pauses.get((number, agent_id), {}),
            **_offer_figures(offers.get((number, agent_id, None), OfferSums())),
        }
        for number, agent_id in sorted(keys, key=lambda key: (key[0], name(key[1])))
    ]
    columns = [*span.heads(1), "agent", "logged_in_seconds", "free_seconds", "queue_calls_seconds"]
    columns += ["wrapup_seconds", "paused_seconds", "occupancy_percent", "utilisation_percent", "offers"]
    columns += ["answered", "missed_percent", "average_talk_seconds", "average_handle_seconds"]
    notes = [
        f"occupancy: {OCCUPANCY_TEXT}",
        "utilisation: (queue calls + after-call work) ÷ time logged in; queue calls include hold",
        "offers count when they were made; missed: (no answer + rejected) ÷ offers",
    ]
    return finished(conn, "agent", span, rows, tenant_id=tenant_id, columns=columns, notes=notes)


def _agent_times(times: StateTimes) -> Row:
    return {
        "logged_in_seconds": seconds(times.logged_in),
        "free_seconds": seconds(times.free),
        "ringing_seconds": seconds(times.ringing),
        "queue_calls_seconds": seconds(times.queue_calls),
        "other_calls_seconds": seconds(times.other_calls),
        "wrapup_seconds": seconds(times.wrapup),
        "paused_seconds": seconds(times.paused),
        "paused_paid_seconds": seconds(times.paused_paid),
        "paused_unpaid_seconds": seconds(times.paused - times.paused_paid),
        "occupancy_percent": times.occupancy_percent,
        "utilisation_percent": times.utilisation_percent,
    }


def _offer_figures(sums: OfferSums) -> Row:
    return {
        **{name: getattr(sums, name) for name in ("offers", "answered", "no_answer", "rejected", "busy")},
        "unreachable": sums.unreachable,
        "other": sums.other,
        "missed_percent": sums.missed_percent,
        "average_ring_seconds": mean_seconds(sums.ring_ms, sums.offers),
        "average_talk_seconds": mean_seconds(sums.talk_ms, sums.answered),
        "longest_talk_seconds": seconds(sums.longest_talk_ms),
        "average_hold_seconds": mean_seconds(sums.hold_ms, sums.answered),
        "average_wrapup_seconds": mean_seconds(sums.wrapup_ms, sums.answered),
        "average_handle_seconds": sums.average_handle_seconds,
        "hung_up_agent_percent": percent(sums.hung_up_agent, sums.answered),
    }


def _agent_queues(
    conn: Conn, span: Span, tenant_id: int, offers: Mapping[tuple[int, int, int], OfferSums]
) -> Report:
    agent_name, queue_name = names_of(conn, "agent", tenant_id), names_of(conn, "queue", tenant_id)
    rows = [
        {
            **span.heads(number),
            "agent": agent_name(agent_id),
            "queue": queue_name(queue_id),
            **_offer_figures(sums),
        }
        for (number, agent_id, queue_id), sums in sorted(
            offers.items(), key=lambda item: (item[0][0], agent_name(item[0][1]), queue_name(item[0][2]))
        )
    ]
    columns = [
        *span.heads(1),
        "agent",
        "queue",
        "offers",
        "answered",
        "no_answer",
        "rejected",
        "missed_percent",
    ]
    columns += [
        "average_ring_seconds",
        "average_talk_seconds",
        "average_wrapup_seconds",
        "average_handle_seconds",
    ]
    notes = ["offers count when they were made; missed: (no answer + rejected) ÷ offers"]
    return finished(conn, "agent", span, rows, tenant_id=tenant_id, columns=columns, notes=notes)


def _pauses(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, int], dict[str, float]]:
    """Return seconds by reason of pauses, by period and agent."""
    found: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["state"] == AgentState.PAUSED:
            found[row["period"], row["agent_id"] or 0][row["reason"]] = seconds(row["ms"])
    return found


def pauses(
    conn: Conn, *, tenant_id: int, agents: Sequence[str] = (), clock: Clock | None = None, **when: Any
) -> Report:
    """Return pauses of each agent by reason; raises NotFound, BadPeriod."""
    span = span_of(conn, tenant_id, when, clock)
    name = names_of(conn, "agent", tenant_id)
    told = _state_rows(conn, span, tenant_id, ids_of(conn, "agent", tenant_id, agents), each=True)
    rows: list[Row] = [
        {
            **span.heads(row["period"]),
            "agent": name(row["agent_id"]),
            "reason": row["reason"],
            "paid": row["paid"],
            "times": row["times"],
            "seconds": seconds(row["ms"]),
        }
        for row in sorted(told, key=lambda row: (row["period"], name(row["agent_id"]), row["reason"]))
        if row["state"] == AgentState.PAUSED
    ]
    columns = [*span.heads(1), "agent", "reason", "paid", "times", "seconds"]
    notes = ["times: how often the pause began in the period"]
    return finished(conn, "pauses", span, rows, tenant_id=tenant_id, columns=columns, notes=notes)
