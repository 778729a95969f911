-- What reports are made of (kalibri/services/report.py). starts: begins of the periods, ascending; the number of a period is the
-- index of its begin, from 1 on. opens, closes, weekdays: part of the days, in the zone of the tenant; null: all.

-- name: queue_sums
-- Counts of queues; each: one row a queue, else one of all together. level, short: other thresholds, then the facts are counted.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, CASE WHEN %(each)s THEN s.queue_id END AS queue_id,
       coalesce(sum(s.offered), 0)::bigint AS offered, coalesce(sum(s.answered), 0)::bigint AS answered,
       coalesce(sum(s.answered_in_time), 0)::bigint AS answered_in_time, coalesce(sum(s.abandoned), 0)::bigint AS abandoned,
       coalesce(sum(s.abandoned_short), 0)::bigint AS abandoned_short,
       coalesce(sum(s.abandoned_in_time), 0)::bigint AS abandoned_in_time, coalesce(sum(s.left_timeout), 0)::bigint AS left_timeout,
       coalesce(sum(s.left_full), 0)::bigint AS left_full, coalesce(sum(s.left_empty), 0)::bigint AS left_empty,
       coalesce(sum(s.left_closed), 0)::bigint AS left_closed, coalesce(sum(s.left_exit_key), 0)::bigint AS left_exit_key,
       coalesce(sum(s.left_ejected), 0)::bigint AS left_ejected, coalesce(sum(s.left_callback), 0)::bigint AS left_callback,
       coalesce(sum(s.left_moved), 0)::bigint AS left_moved, coalesce(sum(s.failed), 0)::bigint AS failed,
       coalesce(sum(s.wait_answered_ms), 0)::bigint AS wait_answered_ms,
       coalesce(sum(s.wait_abandoned_ms), 0)::bigint AS wait_abandoned_ms, coalesce(sum(s.wait_left_ms), 0)::bigint AS wait_left_ms,
       coalesce(max(s.longest_wait_ms), 0)::bigint AS longest_wait_ms, coalesce(sum(s.talk_ms), 0)::bigint AS talk_ms,
       coalesce(max(s.longest_talk_ms), 0)::bigint AS longest_talk_ms, coalesce(sum(s.hold_ms), 0)::bigint AS hold_ms,
       coalesce(sum(s.wrapup_ms), 0)::bigint AS wrapup_ms, coalesce(sum(s.hung_up_agent), 0)::bigint AS hung_up_agent,
       coalesce(sum(s.hung_up_caller), 0)::bigint AS hung_up_caller, coalesce(sum(s.hung_up_system), 0)::bigint AS hung_up_system,
       coalesce(sum(s.transferred), 0)::bigint AS transferred, coalesce(sum(s.surveys), 0)::bigint AS surveys,
       coalesce(sum(s.survey_sum), 0)::bigint AS survey_sum, coalesce(sum(s.offers), 0)::bigint AS offers
FROM report_queue_slots(%(tenant_id)s, %(queue_ids)s::integer[], %(start)s, %(until)s, %(level)s::integer, %(short)s::integer) AS s
WHERE s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2;

-- name: callback_sums
-- Counts of callbacks, a row a queue.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, s.queue_id,
       sum(s.callbacks) AS requested, sum(s.callbacks_dialled) AS dialled, sum(s.callbacks_reached) AS reached, sum(s.callbacks_joined) AS joined,
       sum(s.callbacks_cancelled) AS cancelled, sum(s.callbacks_expired) AS expired, sum(s.callbacks_failed) AS failed,
       sum(s.callback_dials) AS dials, sum(s.callback_dial_wait_ms)::bigint AS dial_wait_ms, sum(s.callback_join_wait_ms)::bigint AS join_wait_ms,
       max(s.callback_longest_wait_ms) AS longest_wait_ms, sum(s.callback_talk_ms)::bigint AS talk_ms
FROM report_queue_slot s
WHERE s.tenant_id = %(tenant_id)s AND (%(queue_ids)s::integer[] IS NULL OR s.queue_id = ANY (%(queue_ids)s))
  AND s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2 HAVING sum(s.callbacks) > 0;

-- name: offer_sums
-- Counts of offers to agents; each_queue: one row a queue of an agent.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, s.agent_id, CASE WHEN %(each_queue)s THEN s.queue_id END AS queue_id,
       coalesce(sum(s.offers), 0)::bigint AS offers, coalesce(sum(s.answered), 0)::bigint AS answered,
       coalesce(sum(s.no_answer), 0)::bigint AS no_answer, coalesce(sum(s.rejected), 0)::bigint AS rejected,
       coalesce(sum(s.busy), 0)::bigint AS busy, coalesce(sum(s.unreachable), 0)::bigint AS unreachable,
       coalesce(sum(s.other), 0)::bigint AS other, coalesce(sum(s.ring_ms), 0)::bigint AS ring_ms,
       coalesce(sum(s.talk_ms), 0)::bigint AS talk_ms, coalesce(max(s.longest_talk_ms), 0)::bigint AS longest_talk_ms,
       coalesce(sum(s.hold_ms), 0)::bigint AS hold_ms, coalesce(sum(s.wrapup_ms), 0)::bigint AS wrapup_ms,
       coalesce(sum(s.hung_up_agent), 0)::bigint AS hung_up_agent
FROM report_agent_slot s
WHERE s.tenant_id = %(tenant_id)s AND (%(queue_ids)s::integer[] IS NULL OR s.queue_id = ANY (%(queue_ids)s))
  AND (%(agent_ids)s::integer[] IS NULL OR s.agent_id = ANY (%(agent_ids)s))
  AND s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2, 3;

-- name: state_sums
-- Time of agents in each state; each: one row an agent. A state that still lasts counts up to now.
WITH counted AS (
    SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, CASE WHEN %(each)s THEN s.agent_id END AS agent_id, s.state, s.reason,
           sum(s.times) AS times, sum(s.ms::integer) AS ms
    FROM (
        SELECT agent_id, slot, state, reason, times, ms FROM report_state_slot
        WHERE tenant_id = %(tenant_id)s AND slot >= %(start)s AND slot < %(until)s
        UNION ALL
        SELECT o.agent_id, part.slot, o.state, o.reason, (o.started_at >= part.slot)::integer,
               report_between(greatest(o.started_at, part.slot), least(%(now)s, part.slot + interval '15 minutes'))
        FROM report_agent_state o
        CROSS JOIN LATERAL generate_series(greatest(report_slot(o.started_at), %(start)s), least(%(now)s, %(until)s), interval '15 minutes') AS part (slot)
        WHERE o.tenant_id = %(tenant_id)s AND o.ended_at IS NULL AND o.state <> 'offline' AND part.slot < %(now)s AND part.slot < %(until)s
    ) AS s
    WHERE (%(agent_ids)s::integer[] IS NULL OR s.agent_id = ANY (%(agent_ids)s))
      AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
      AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
      AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
    GROUP BY 1, 2, 3, 4
)
SELECT c.*, coalesce(p.paid, true) AS paid
FROM counted c
LEFT JOIN pause_reason p ON p.tenant_id = %(tenant_id)s AND c.state = 'paused' AND p.name = c.reason;

-- name: call_sums
-- Counts of calls by direction, cause and who hung up; tenant null: all.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, s.direction, s.cause, s.hung_up_by,
       sum(s.calls)::bigint AS calls, sum(s.ended)::bigint AS ended, sum(s.answered)::bigint AS answered, sum(s.attempts)::bigint AS attempts,
       sum(s.emergency)::bigint AS emergency, sum(s.setup_ms)::bigint AS setup_ms, max(s.longest_setup_ms) AS longest_setup_ms,
       sum(s.talk_ms)::bigint AS talk_ms, max(s.longest_talk_ms) AS longest_talk_ms, '' AS account
FROM report_call_slot s
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2, 3, 4;

-- name: account_sums
-- As call_sums, by account, too: from the facts.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, s.direction, s.cause, s.hung_up_by,
       count(*) AS calls, count(*) FILTER (WHERE s.ended) AS ended, count(*) FILTER (WHERE s.answered) AS answered,
       sum(s.attempts)::bigint AS attempts, count(*) FILTER (WHERE s.emergency) AS emergency, sum(s.setup_ms)::bigint AS setup_ms,
       max(s.setup_ms) AS longest_setup_ms, sum(s.talk_ms)::bigint AS talk_ms, max(s.talk_ms) AS longest_talk_ms, s.account
FROM (SELECT *, started_at AS slot FROM report_call) AS s
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2, 3, 4, 14;

-- name: gateway_sums
-- Counts of the uses of gateways; tenant null: of the calls of all tenants.
SELECT width_bucket(s.slot, %(starts)s::timestamptz[]) AS period, s.gateway_id, g.name AS gateway, s.inbound,
       sum(s.calls)::bigint AS calls, sum(s.answered)::bigint AS answered, sum(s.failed_over)::bigint AS failed_over, sum(s.busy)::bigint AS busy,
       sum(s.refused_4xx)::bigint AS refused_4xx, sum(s.refused_5xx)::bigint AS refused_5xx, sum(s.refused_6xx)::bigint AS refused_6xx,
       sum(s.rung)::bigint AS rung, sum(s.ring_delay_ms)::bigint AS ring_delay_ms, max(s.longest_ring_delay_ms) AS longest_ring_delay_ms,
       sum(s.talk_ms)::bigint AS talk_ms, max(s.longest_talk_ms) AS longest_talk_ms
FROM report_gateway_slot s LEFT JOIN gateway g USING (gateway_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND s.slot >= %(start)s AND s.slot < %(until)s
  AND (%(opens)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time >= %(opens)s)
  AND (%(closes)s::time IS NULL OR (s.slot AT TIME ZONE %(zone)s)::time < %(closes)s)
  AND (%(weekdays)s::integer[] IS NULL OR extract(isodow FROM s.slot AT TIME ZONE %(zone)s) = ANY (%(weekdays)s))
GROUP BY 1, 2, 3, 4;

-- name: attempts
-- One row an offer, the oldest first.
SELECT a.made_at AS at, coalesce(q.name, 'queue ' || a.queue_id) AS queue, a.caller, coalesce(g.name, 'agent ' || a.agent_id) AS agent,
       a.waited_ms / 1000.0::float8 AS wait_seconds, a.ring_ms / 1000.0::float8 AS ring_seconds, a.talk_ms / 1000.0::float8 AS talk_seconds,
       a.hold_ms / 1000.0::float8 AS hold_seconds, a.wrapup_ms / 1000.0::float8 AS wrapup_seconds,
       a.answered_at IS NOT NULL AS answered, a.joined_at IS NOT NULL AS success, a.outcome::text AS outcome, a.code, a.cause, a.hung_up_by,
       a.strategy, a.forced, a.call_id, a.entry_id, a.offer_id
FROM report_attempt a
LEFT JOIN queue q ON q.tenant_id = a.tenant_id AND q.queue_id = a.queue_id
LEFT JOIN agent g ON g.tenant_id = a.tenant_id AND g.agent_id = a.agent_id
WHERE a.tenant_id = %(tenant_id)s AND a.made_at >= %(start)s AND a.made_at < %(until)s
  AND (%(queue_ids)s::integer[] IS NULL OR a.queue_id = ANY (%(queue_ids)s))
  AND (%(agent_ids)s::integer[] IS NULL OR a.agent_id = ANY (%(agent_ids)s))
ORDER BY a.made_at, a.offer_id
LIMIT %(limit)s;

-- name: states
-- What agents did, one row a state, the oldest first: also the state in which each was when the time began.
SELECT coalesce(g.name, 'agent ' || s.agent_id) AS agent, s.started_at, s.ended_at,
       report_between(s.started_at, coalesce(s.ended_at, %(now)s)) / 1000.0::float8 AS seconds,
       s.state::text AS state, s.reason, coalesce(p.paid, true) AS paid, s.by, coalesce(q.name, '') AS queue
FROM (
    SELECT * FROM report_agent_state
    WHERE tenant_id = %(tenant_id)s AND started_at >= %(start)s AND started_at < %(until)s
      AND (%(agent_ids)s::integer[] IS NULL OR agent_id = ANY (%(agent_ids)s))
    UNION ALL
    SELECT before.* FROM agent a
    CROSS JOIN LATERAL (SELECT * FROM report_agent_state r
                        WHERE r.tenant_id = a.tenant_id AND r.agent_id = a.agent_id AND r.started_at < %(start)s
                        ORDER BY r.started_at DESC, r.seq DESC LIMIT 1) AS before
    WHERE a.tenant_id = %(tenant_id)s AND (%(agent_ids)s::integer[] IS NULL OR a.agent_id = ANY (%(agent_ids)s))
      AND coalesce(before.ended_at, %(now)s) > %(start)s
) AS s
LEFT JOIN agent g ON g.tenant_id = s.tenant_id AND g.agent_id = s.agent_id
LEFT JOIN report_attempt a ON a.tenant_id = s.tenant_id AND a.offer_id = s.offer_id
LEFT JOIN queue q ON q.tenant_id = s.tenant_id AND q.queue_id = a.queue_id
LEFT JOIN pause_reason p ON p.tenant_id = s.tenant_id AND s.state = 'paused' AND p.name = s.reason
ORDER BY s.started_at, s.agent_id, s.seq
LIMIT %(limit)s;

-- name: missed
-- Callers who left a queue unserved and have not come to a queue again since.
SELECT DISTINCT ON (e.entered_at, e.entry_id) e.entered_at AS at, coalesce(q.name, 'queue ' || e.queue_id) AS queue, e.caller,
       report_between(e.entered_at, e.left_at) / 1000.0::float8 AS wait_seconds, e.end_reason AS reason, e.offers, e.call_id, e.entry_id
FROM report_entry e
LEFT JOIN queue q ON q.tenant_id = e.tenant_id AND q.queue_id = e.queue_id
WHERE e.tenant_id = %(tenant_id)s AND e.entered_at >= %(start)s AND e.entered_at < %(until)s
  AND (%(queue_ids)s::integer[] IS NULL OR e.queue_id = ANY (%(queue_ids)s))
  AND e.caller <> '' AND e.answered_at IS NULL AND e.end_reason NOT IN ('moved', 'callback', 'transferred')
  AND NOT EXISTS (SELECT FROM report_entry later WHERE later.tenant_id = e.tenant_id AND later.caller = e.caller
                  AND (later.entered_at > e.entered_at OR later.entry_id = e.entry_id AND later.first_seq > e.first_seq))
ORDER BY e.entered_at, e.entry_id
LIMIT %(limit)s;

-- name: tenant_zone
-- The zone of a tenant.
SELECT time_zone FROM tenant WHERE tenant_id = %(tenant_id)s;

-- name: queues
-- Queues of a tenant by name.
SELECT queue_id AS id, name FROM queue WHERE tenant_id = %(tenant_id)s;

-- name: agents
-- Agents of a tenant by name.
SELECT agent_id AS id, name FROM agent WHERE tenant_id = %(tenant_id)s;
