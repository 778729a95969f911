-- Statements of kalibri/services/journal.py: from journal files into tables, exactly once.

-- name: add_files
-- Makes journal files known. Its own transaction: it may wait for another ks_cdr that does the same.
INSERT INTO journal_file (file)
SELECT unnest(%(files)s::text[])
ON CONFLICT (file) DO NOTHING

-- name: claim_files
-- Locks those of these files that no other ks_cdr is storing right now, and says how far they are stored.
SELECT file, offset_bytes
FROM journal_file
WHERE file = ANY (%(files)s)
ORDER BY file
FOR UPDATE SKIP LOCKED

-- name: move_files
-- Notes how far files are stored; belongs into the transaction that stores their rows.
UPDATE journal_file AS f
SET offset_bytes = n.offset_bytes, finished = n.finished, last_stored_at = now()
FROM unnest(%(files)s::text[], %(offsets)s::bigint[], %(finished)s::boolean[]) AS n (file, offset_bytes, finished)
WHERE f.file = n.file

-- name: forget_files
-- Forgets files that are long stored and deleted. A name never comes twice, so nothing is read again.
DELETE FROM journal_file
WHERE finished AND last_stored_at < now() - make_interval(days => %(days)s) AND NOT file = ANY (%(present)s)

-- name: quarantine_lines
-- Keeps lines that cannot be read, for a person to look at.
INSERT INTO journal_quarantine (file, offset_bytes, line, reason)
SELECT * FROM unnest(%(files)s::text[], %(offsets)s::bigint[], %(lines)s::bytea[], %(reasons)s::text[])
ON CONFLICT (file, offset_bytes) DO NOTHING

-- name: ensure_day
-- Makes the partitions of one day.
SELECT ensure_day_partitions(%(day)s)

-- name: put_events
-- Stores events; one that is there already stays as it is. One JSON text is cheaper to write and to read than arrays.
INSERT INTO call_event (event_id, at, call_id, tenant_id, kind, node, process, data)
SELECT event_id, at, call_id, tenant_id, kind, node, process, data
FROM jsonb_to_recordset(%(events)s::jsonb) AS n (
    event_id uuid, at timestamptz, call_id uuid, tenant_id integer, kind text, node text, process text, data jsonb)
ON CONFLICT (at, event_id) DO NOTHING

-- name: lock_folding
-- Held to the end of the transaction: two ks_cdr that store events of the same call fold it one after the
-- other, and the second one sees the events of both.
SELECT pg_advisory_xact_lock(hashtext('fold_calls'))

-- name: put_calls
-- Writes folded calls; a row that says the same already is left alone.
INSERT INTO call AS c (
    call_id, started_at, tenant_id, direction, account, a_number, a_sent, b_number, b_sent, b_region, b_operator,
    route_ids, gateway_in_id, gateway_out_id, emergency, attempts, media, ringing_at, answered_at, ended_at,
    ring_ms, talk_ms, final_code, cause, hung_up_by, sip_call_id, node, updated_at)
SELECT
    call_id, started_at, tenant_id, direction, account, a_number, a_sent, b_number, b_sent, b_region, b_operator,
    route_ids, gateway_in_id, gateway_out_id, emergency, attempts, media, ringing_at, answered_at, ended_at,
    ring_ms, talk_ms, final_code, cause, hung_up_by, sip_call_id, node, now()
FROM jsonb_populate_recordset(NULL::call, %(calls)s::jsonb)
ON CONFLICT (started_at, call_id) DO UPDATE SET
    tenant_id = excluded.tenant_id, direction = excluded.direction, account = excluded.account,
    a_number = excluded.a_number, a_sent = excluded.a_sent, b_number = excluded.b_number,
    b_sent = excluded.b_sent, b_region = excluded.b_region, b_operator = excluded.b_operator,
    route_ids = excluded.route_ids, gateway_in_id = excluded.gateway_in_id,
    gateway_out_id = excluded.gateway_out_id, emergency = excluded.emergency, attempts = excluded.attempts,
    media = excluded.media, ringing_at = excluded.ringing_at, answered_at = excluded.answered_at,
    ended_at = excluded.ended_at, ring_ms = excluded.ring_ms, talk_ms = excluded.talk_ms,
    final_code = excluded.final_code, cause = excluded.cause, hung_up_by = excluded.hung_up_by,
    sip_call_id = excluded.sip_call_id, node = excluded.node, updated_at = excluded.updated_at

-- name: set_gateway_health
-- Applies what proxies told of gateways, if it is newer than what is known.
UPDATE gateway AS g
SET health = n.health::gateway_health, health_reason = n.reason, health_changed_at = n.at
FROM unnest(%(ids)s::integer[], %(healths)s::text[], %(reasons)s::text[], %(ats)s::timestamptz[])
    AS n (gateway_id, health, reason, at)
WHERE g.gateway_id = n.gateway_id AND (g.health_changed_at IS NULL OR g.health_changed_at < n.at)

-- name: set_trunk_state
-- Applies what proxies told of our registrations at carriers, if it is newer than what is known.
UPDATE trunk AS t
SET state = n.state::registration_state, state_reason = n.reason, state_changed_at = n.at
FROM unnest(%(ids)s::integer[], %(states)s::text[], %(reasons)s::text[], %(ats)s::timestamptz[])
    AS n (trunk_id, state, reason, at)
WHERE t.trunk_id = n.trunk_id AND (t.state_changed_at IS NULL OR t.state_changed_at < n.at)

-- name: proxy_starts
-- What the proxy of a node told at its starts, since the oldest call of that node that has not ended.
SELECT event_id AS id, at, call_id AS call, tenant_id AS tenant, kind, node, process, data
FROM call_event
WHERE kind = 'proxy.start' AND node = %(node)s
  AND at > (SELECT min(started_at) FROM call WHERE ended_at IS NULL AND node = %(node)s)

-- name: open_calls
-- Calls of a node that have not ended and began before this time.
SELECT call_id
FROM call
WHERE ended_at IS NULL AND node = %(node)s AND started_at < %(before)s
ORDER BY started_at
LIMIT %(limit)s
