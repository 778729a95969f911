-- Events for programs.

-- name: sequence
-- Numbers what was committed.
SELECT sequence_events(%(most)s);

-- name: events_after
-- Events after a number, the oldest first, as JSON texts; of one tenant, or (null) of all and of the system.
SELECT seq, tenant_id, kind, queue_id, agent_id, account,
       json_strip_nulls(json_build_object(
           'id', seq, 'at', at, 'kind', kind, 'tenant_id', tenant_id, 'call_id', call_id, 'queue_id', queue_id,
           'agent_id', agent_id, 'account', account, 'data', data))::text AS text
FROM event_log
WHERE seq > %(after)s AND seq <= %(upto)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
ORDER BY seq
LIMIT %(limit)s;

-- name: bounds
-- The number of the newest event, and the one up to which events are removed.
SELECT greatest((SELECT coalesce(max(seq), 0) FROM event_log), h.seq) AS head, h.seq AS horizon FROM event_horizon h;

-- name: usable_tokens
-- Which of these tokens may still be used.
SELECT k.token_id FROM api_token k JOIN tenant t USING (tenant_id)
WHERE k.token_id = ANY (%(token_ids)s) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.enabled
  AND (k.account IS NULL OR EXISTS (SELECT FROM account a WHERE a.tenant_id = k.tenant_id AND a.username = k.account AND a.enabled));

-- name: open_calls
-- Calls that have not ended, the longest first.
SELECT call_id, started_at, account, a_number, b_number, answered_at, emergency
FROM call
WHERE ended_at IS NULL AND started_at > now() - interval '1 day' AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
ORDER BY started_at
LIMIT %(limit)s;

-- name: forget
-- Removes old events that no webhook waits for.
SELECT forget_events(make_interval(hours => %(hours)s));
