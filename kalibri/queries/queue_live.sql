-- Queues as they stand now, and why agents were chosen.

-- name: live
-- One row a queue: callers, agents by state, and what happened since the beginning of a time.
SELECT q.tenant_id, t.name AS tenant, q.name AS queue, l.is_open AND q.enabled AS open,
       e.waiting, e.offered, e.talking, e.callbacks, e.longest_wait_seconds,
       a.logged_in, a.free, a.ringing, a.busy, a.wrapup, a.paused,
       CASE WHEN a.logged_in - a.paused > 0
            THEN greatest(0, (e.waiting + 1) * coalesce(l.handle_seconds, 180) / (a.logged_in - a.paused)) END::float8 AS ewt_seconds,
       d.answered, d.abandoned, d.left_otherwise,
       CASE WHEN d.answered + d.abandoned > d.short THEN 100.0 * d.in_time / (d.answered + d.abandoned - d.short) END::float8 AS service_level
FROM queue q
JOIN tenant t USING (tenant_id)
JOIN queue_live l USING (tenant_id, queue_id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state IN ('waiting', 'arriving') AND kind = 'call') AS waiting,
           count(*) FILTER (WHERE state = 'offered') AS offered, count(*) FILTER (WHERE state = 'talking') AS talking,
           count(*) FILTER (WHERE kind = 'callback' AND state = 'waiting') AS callbacks,
           extract(epoch FROM clock_timestamp() - min(since) FILTER (WHERE state IN ('waiting', 'arriving', 'offered') AND kind = 'call'))::float8
               AS longest_wait_seconds
    FROM queue_entry WHERE queue_id = q.queue_id AND tenant_id = q.tenant_id AND state <> 'ended') e
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE v.state <> 'offline') AS logged_in, count(*) FILTER (WHERE v.state = 'free') AS free,
           count(*) FILTER (WHERE v.state IN ('reserved', 'ringing')) AS ringing, count(*) FILTER (WHERE v.state = 'busy') AS busy,
           count(*) FILTER (WHERE v.state = 'wrapup') AS wrapup, count(*) FILTER (WHERE v.state = 'paused') AS paused
    FROM queue_member m JOIN agent_live v USING (tenant_id, agent_id)
    WHERE m.queue_id = q.queue_id AND m.tenant_id = q.tenant_id) a
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE answered_at IS NOT NULL) AS answered,
           count(*) FILTER (WHERE end_reason = 'abandoned') AS abandoned,
           count(*) FILTER (WHERE end_reason NOT IN ('abandoned', 'served', 'transferred')) AS left_otherwise,
           count(*) FILTER (WHERE end_reason = 'abandoned' AND ended_at - entered_at < make_interval(secs => q.short_abandon_seconds)) AS short,
           count(*) FILTER (WHERE answered_at - entered_at <= make_interval(secs => q.service_level_seconds)) AS in_time
    FROM queue_entry WHERE tenant_id = q.tenant_id AND queue_id = q.queue_id AND entered_at >= %(since)s) d
WHERE (%(tenant_id)s::integer IS NULL OR q.tenant_id = %(tenant_id)s)
  AND (%(queue)s::text IS NULL OR q.name = %(queue)s)
ORDER BY t.name, q.name;

-- name: offer
-- One offer with what explains it.
SELECT o.offer_id, o.entry_id, q.name AS queue, o.call_id, o.caller, a.name AS agent, o.agent_id, o.strategy, o.forced, o.ring_all,
       o.made_at, o.waited_ms / 1000.0 AS waited_seconds, o.state, o.outcome, o.cause, o.candidates, o.queue_id
FROM offer o
LEFT JOIN queue q USING (tenant_id, queue_id)
LEFT JOIN agent a USING (tenant_id, agent_id)
WHERE o.tenant_id = %(tenant_id)s AND o.offer_id = %(offer_id)s;

-- name: agent_names
-- Names of agents by their ids.
SELECT agent_id, name FROM agent WHERE tenant_id = %(tenant_id)s AND agent_id = ANY (%(agent_ids)s);

-- name: states_at
-- In a large queue: in which state the agents were when an offer was made, from their events.
SELECT m.agent_id, coalesce(
           (SELECT e.data ->> 'from' FROM acd_event e
            WHERE e.agent_id = m.agent_id AND e.kind = 'agent.state' AND e.at >= %(at)s ORDER BY e.at, e.seq LIMIT 1), l.state::text) AS state
FROM queue_member m JOIN agent_live l USING (tenant_id, agent_id)
WHERE m.tenant_id = %(tenant_id)s AND m.queue_id = %(queue_id)s;

-- name: attempts
-- Offers of a time, newest first, as managers of agents need them.
SELECT o.offer_id, o.entry_id, o.call_id, q.name AS queue, o.caller, coalesce(a.name, 'agent ' || o.agent_id) AS agent, o.made_at AS at,
       o.waited_ms / 1000.0 AS wait_seconds, o.ring_ms / 1000.0 AS ring_seconds, o.talk_ms / 1000.0 AS talk_seconds, o.hold_ms / 1000.0 AS hold_seconds,
       o.answered_at IS NOT NULL AS answered, o.joined_at IS NOT NULL AS success, o.outcome, o.code, o.cause, o.hung_up_by
FROM offer o
LEFT JOIN queue q USING (tenant_id, queue_id)
LEFT JOIN agent a USING (tenant_id, agent_id)
WHERE o.tenant_id = %(tenant_id)s AND o.made_at >= %(since)s
  AND (%(queue)s::text IS NULL OR q.name = %(queue)s) AND (%(agent)s::text IS NULL OR a.name = %(agent)s)
ORDER BY o.made_at DESC, o.offer_id DESC
LIMIT %(limit)s;
