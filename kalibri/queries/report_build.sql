-- How facts of reports are built, kept and forgotten (kalibri/services/report_facts.py).

-- name: tenants
-- Tenants whose queue events may have to be taken.
SELECT tenant_id FROM tenant ORDER BY tenant_id;

-- name: fold
-- Adds the next queue events of a tenant; how many.
SELECT report_fold(%(tenant_id)s, %(most)s);

-- name: fold_calls
-- Adds the next calls that changed; how many.
SELECT report_fold_calls(%(most)s);

-- name: rebuild
-- Builds the queue facts of a tenant again; from how many events.
SELECT report_rebuild(%(tenant_id)s);

-- name: rebuild_calls
-- Builds the facts of all calls again; of how many.
SELECT report_rebuild_calls();

-- name: progress
-- Up to when facts are built: queue events of a tenant, calls.
SELECT source, built_at, at FROM report_progress
WHERE source = 'acd' AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s) OR source = 'call' AND tenant_id = 0;

-- name: forget
-- Removes facts that are past the period of their tenant; how many rows.
WITH period AS (
    SELECT t.tenant_id, now() - make_interval(days => coalesce(r.keep_calls_days, s.keep_calls_days, %(days)s) + 1) AS until
    FROM (SELECT tenant_id FROM tenant UNION SELECT 0) AS t
    LEFT JOIN retention r USING (tenant_id)
    LEFT JOIN retention s ON s.tenant_id = 0
), entries AS (
    DELETE FROM report_entry f USING period p WHERE f.tenant_id = p.tenant_id AND f.entered_at < p.until RETURNING 1
), attempts AS (
    DELETE FROM report_attempt f USING period p WHERE f.tenant_id = p.tenant_id AND f.made_at < p.until RETURNING 1
), states AS (
    DELETE FROM report_agent_state f USING period p
    WHERE f.tenant_id = p.tenant_id AND f.started_at < p.until AND f.ended_at < p.until RETURNING 1
), calls AS (
    DELETE FROM report_call f USING period p WHERE f.tenant_id = p.tenant_id AND f.started_at < p.until RETURNING 1
), uses AS (
    DELETE FROM report_gateway_call f USING period p WHERE f.tenant_id = p.tenant_id AND f.at < p.until RETURNING 1
)
SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM attempts) + (SELECT count(*) FROM states)
     + (SELECT count(*) FROM calls) + (SELECT count(*) FROM uses);

-- name: forget_sums
-- Removes sums that are too old; how many rows.
WITH queues AS (DELETE FROM report_queue_slot WHERE slot < now() - make_interval(days => %(days)s) RETURNING 1),
     agents AS (DELETE FROM report_agent_slot WHERE slot < now() - make_interval(days => %(days)s) RETURNING 1),
     states AS (DELETE FROM report_state_slot WHERE slot < now() - make_interval(days => %(days)s) RETURNING 1),
     calls AS (DELETE FROM report_call_slot WHERE slot < now() - make_interval(days => %(days)s) RETURNING 1),
     gateways AS (DELETE FROM report_gateway_slot WHERE slot < now() - make_interval(days => %(days)s) RETURNING 1)
SELECT (SELECT count(*) FROM queues) + (SELECT count(*) FROM agents) + (SELECT count(*) FROM states)
     + (SELECT count(*) FROM calls) + (SELECT count(*) FROM gateways);
