-- Callers and callbacks in queues.

-- name: list_entries
-- Entries that have not ended (or one by its id), in the order in which they will be served; filters that are null let all through.
SELECT e.tenant_id, t.name AS tenant, e.entry_id, q.name AS queue, e.kind, e.state, e.call_id, e.caller, e.caller_name, e.number,
       q.priority + e.priority AS priority, e.since, extract(epoch FROM coalesce(e.answered_at, e.ended_at, clock_timestamp()) - e.since)::float8 AS waited_seconds,
       CASE WHEN e.state IN ('waiting', 'arriving', 'offered') THEN 1 + (
           SELECT count(*) FROM queue_entry o
           WHERE o.queue_id = e.queue_id AND o.state IN ('waiting', 'arriving', 'offered')
             AND (o.order_class > e.order_class
                  OR o.order_class = e.order_class AND (o.order_at, o.entry_id) < (e.order_at, e.entry_id))) END AS position,
       a.name AS agent, e.holder, e.offers, e.dials, e.not_before, e.expires_at, e.end_reason
FROM queue_entry e
JOIN tenant t USING (tenant_id)
JOIN queue q USING (tenant_id, queue_id)
LEFT JOIN LATERAL (
    SELECT coalesce(e.assigned_agent, (SELECT min(f.agent_id) FROM offer f
        WHERE f.tenant_id = e.tenant_id AND f.entry_id = e.entry_id AND f.state <> 'ended'), e.agent_id) AS agent_id) x ON true
LEFT JOIN agent a ON a.tenant_id = e.tenant_id AND a.agent_id = x.agent_id
WHERE (%(tenant_id)s::integer IS NULL OR e.tenant_id = %(tenant_id)s)
  AND (%(entry_id)s::bigint IS NULL AND e.state <> 'ended' OR e.entry_id = %(entry_id)s)
  AND (%(queue)s::text IS NULL OR q.name = %(queue)s)
  AND (%(kind)s::entry_kind IS NULL OR e.kind = %(kind)s)
  AND (NOT %(waiting)s OR e.state NOT IN ('talking', 'ended'))
ORDER BY t.name, q.name, e.order_class DESC, e.order_at, e.entry_id;

-- name: entry_of_call
-- The entry of a call that has not ended.
SELECT entry_id FROM queue_entry WHERE tenant_id = %(tenant_id)s AND call_id = %(call_id)s AND state <> 'ended';

-- name: priority
-- A supervisor changes a priority.
SELECT kind, data FROM acd_priority(%(tenant_id)s, %(entry_id)s, %(priority)s, acd_actor());

-- name: move
-- A supervisor moves an entry.
SELECT kind, data FROM acd_move(%(tenant_id)s, %(entry_id)s, %(queue_id)s, acd_actor());

-- name: eject
-- A supervisor sends a caller away, or cancels a callback.
SELECT kind, data FROM acd_eject(%(tenant_id)s, %(entry_id)s, %(to_kind)s, %(to)s, acd_actor());

-- name: assign
-- A supervisor gives a caller to an agent.
SELECT kind, data FROM acd_assign(%(tenant_id)s, %(entry_id)s, %(agent_id)s, acd_actor());

-- name: add_callback
-- A callback without a call before it.
SELECT acd_callback_add(%(tenant_id)s, %(queue_id)s, %(number)s, %(options)s::jsonb, acd_actor());

-- name: command
-- An order to the host that has a call.
SELECT acd_command(%(tenant_id)s, %(entry_id)s, %(kind)s, %(data)s::jsonb, acd_actor());

-- name: command_result
-- How an order went.
SELECT taken_at, done_at, error FROM host_command WHERE tenant_id = %(tenant_id)s AND command_id = %(command_id)s;
