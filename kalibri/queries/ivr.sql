-- IVR scenarios, the tables and web servers that they ask, and what their callers did.

-- name: list_scenarios
-- Scenarios without their source, each version; a filter that is null lets everything through.
SELECT s.tenant_id, t.name AS tenant, s.name, s.version, s.uses, s.created_at, s.created_by,
       s.version = max(s.version) OVER (PARTITION BY s.tenant_id, s.name) AS current
FROM ivr_scenario s JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s) AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY t.name, s.name, s.version DESC;

-- name: source
-- The YAML of a version; null: the newest.
SELECT source FROM ivr_scenario
WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND (%(version)s::integer IS NULL OR version = %(version)s)
ORDER BY version DESC
LIMIT 1;

-- name: lock_names
-- Versions are counted one after the other.
SELECT pg_advisory_xact_lock(hashtext('ivr_scenario'), %(tenant_id)s);

-- name: add_scenario
-- A new version.
INSERT INTO ivr_scenario (tenant_id, name, version, source, uses, created_by)
SELECT %(tenant_id)s, %(name)s, coalesce(max(version), 0) + 1, %(source)s, %(uses)s, %(by)s
FROM ivr_scenario WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: remove_scenario
-- All versions of a scenario.
DELETE FROM ivr_scenario WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: users_of
-- Scenarios whose newest version leads through this one.
SELECT name FROM (
    SELECT DISTINCT ON (name) name, uses FROM ivr_scenario WHERE tenant_id = %(tenant_id)s ORDER BY name, version DESC
) AS newest
WHERE %(name)s = ANY (uses) AND name <> %(name)s
ORDER BY name
LIMIT 6;

-- name: bundle
-- What a call of a scenario needs.
SELECT ivr_bundle(%(tenant_id)s, %(name)s);

-- name: facts
-- State of queues and regions of numbers.
SELECT ivr_facts(%(tenant_id)s, %(queues)s::jsonb, %(numbers)s::jsonb);

-- name: row
-- A row of a table by its key.
SELECT ivr_lookup(%(tenant_id)s, %(table)s, %(key)s);

-- name: names_around
-- Names that exist around a scenario: kind and name.
SELECT 'queue' AS kind, name FROM queue WHERE tenant_id = %(tenant_id)s
UNION ALL SELECT 'schedule', name FROM schedule WHERE tenant_id IN (%(tenant_id)s, 0)
UNION ALL SELECT 'account', username FROM account WHERE tenant_id = %(tenant_id)s
UNION ALL SELECT DISTINCT 'scenario', name FROM ivr_scenario WHERE tenant_id = %(tenant_id)s;

-- name: list_hosts
-- Web servers that may be asked; a filter that is null lets everything through.
SELECT h.tenant_id, t.name AS tenant, h.host, h.port, h.private
FROM ivr_host h JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR h.tenant_id = %(tenant_id)s)
ORDER BY t.name, h.host, h.port;

-- name: add_host
-- A web server that may be asked, or whether it may be private.
INSERT INTO ivr_host (tenant_id, host, port, private) VALUES (%(tenant_id)s, %(host)s, %(port)s, %(private)s)
ON CONFLICT ON CONSTRAINT ivr_host_pkey DO UPDATE SET private = EXCLUDED.private;

-- name: remove_host
-- It may be asked no more.
DELETE FROM ivr_host WHERE tenant_id = %(tenant_id)s AND host = %(host)s AND port = %(port)s;

-- name: list_tables
-- Tables with the number of their rows; a filter that is null lets everything through.
SELECT b.tenant_id, t.name AS tenant, b.name, b.columns, b.imported_at, b.imported_by,
       (SELECT count(*) FROM ivr_row r WHERE r.tenant_id = b.tenant_id AND r.table_name = b.name) AS rows
FROM ivr_table b JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR b.tenant_id = %(tenant_id)s) AND (%(name)s::text IS NULL OR b.name = %(name)s)
ORDER BY t.name, b.name;

-- name: put_table
-- A table, or a new heading of one.
INSERT INTO ivr_table (tenant_id, name, columns, imported_by) VALUES (%(tenant_id)s, %(name)s, %(columns)s, %(by)s)
ON CONFLICT ON CONSTRAINT ivr_table_pkey DO UPDATE
SET columns = EXCLUDED.columns, imported_by = EXCLUDED.imported_by, imported_at = clock_timestamp();

-- name: clear_table
-- Its rows go: a new file is all of it.
DELETE FROM ivr_row WHERE tenant_id = %(tenant_id)s AND table_name = %(name)s;

-- name: add_rows
-- Rows, as JSON texts of lists: the first cell is the key.
INSERT INTO ivr_row (tenant_id, table_name, key, cells)
SELECT %(tenant_id)s, %(name)s, cells[1], cells
FROM (SELECT ARRAY(SELECT jsonb_array_elements_text(one)) AS cells FROM jsonb_array_elements(%(rows)s::jsonb) AS rows(one)) AS given;

-- name: rows
-- The rows of a table by key.
SELECT cells FROM ivr_row WHERE tenant_id = %(tenant_id)s AND table_name = %(name)s ORDER BY key;

-- name: remove_table
-- A table with its rows.
DELETE FROM ivr_table WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: visits
-- How many calls came through each node, and how they left the scenario there.
WITH steps AS (
    SELECT call_id, kind, data FROM call_event
    WHERE kind IN ('ivr.node', 'ivr.failure', 'ivr.end') AND tenant_id = %(tenant_id)s AND data ->> 'scenario' = %(name)s
      AND at >= %(since)s AND at < %(until)s AND (%(version)s::integer IS NULL OR (data ->> 'version')::integer = %(version)s)
)
SELECT data ->> 'node' AS node, count(*) FILTER (WHERE kind = 'ivr.node') AS visits,
       count(DISTINCT call_id) FILTER (WHERE kind = 'ivr.node') AS calls,
       count(*) FILTER (WHERE kind = 'ivr.failure') AS failures,
       count(*) FILTER (WHERE kind = 'ivr.end' AND data ->> 'by' = 'caller') AS hung_up,
       count(*) FILTER (WHERE kind = 'ivr.end' AND data ->> 'by' <> 'caller') AS ended
FROM steps
WHERE data ->> 'node' IS NOT NULL
GROUP BY 1
ORDER BY calls DESC, node;

-- name: paths
-- The most common ways through a scenario, and how they ended.
SELECT path, outcome, count(*) AS calls
FROM (
    SELECT call_id, string_agg(data ->> 'node', ' > ' ORDER BY at, event_id) FILTER (WHERE kind = 'ivr.node') AS path,
           coalesce(max(data ->> 'cause') FILTER (WHERE kind = 'ivr.end'), 'not ended') AS outcome
    FROM call_event
    WHERE kind IN ('ivr.node', 'ivr.end') AND tenant_id = %(tenant_id)s AND at >= %(since)s AND at < %(until)s
      AND call_id IN (SELECT call_id FROM call_event
                      WHERE kind = 'ivr.begin' AND tenant_id = %(tenant_id)s AND data ->> 'scenario' = %(name)s
                        AND at >= %(since)s AND at < %(until)s
                        AND (%(version)s::integer IS NULL OR (data ->> 'version')::integer = %(version)s))
    GROUP BY call_id
) AS ways
WHERE path IS NOT NULL
GROUP BY path, outcome
ORDER BY calls DESC, path
LIMIT %(limit)s;
