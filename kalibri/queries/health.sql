-- What a doctor asks the database.

-- name: server
-- Version, clock and connections of the server.
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       clock_timestamp() AS clock,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       current_setting('max_connections')::integer AS max_connections;

-- name: partitions
-- Day partitions of the tables that get theirs together (ensure_day_partitions); one row without a name for a table that
-- has none. ks-acd looks after those of acd_event.
SELECT parent.relname::text AS parent, child.relname::text AS name
FROM pg_class parent
LEFT JOIN pg_inherits ON inhparent = parent.oid
LEFT JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relnamespace = 'public'::regnamespace AND parent.relname IN ('call', 'call_event')
ORDER BY parent.relname, child.relname;

-- name: quarantined
-- How many journal lines could not be read in the last days, and an example.
SELECT count(*) AS lines, max(file || ' at ' || offset_bytes || ': ' || reason) AS example
FROM journal_quarantine
WHERE at > now() - make_interval(days => %(days)s);

-- name: unserved
-- How long the oldest change waits that the index does not contain.
SELECT extract(epoch FROM clock_timestamp() - min(at))::float8 AS waits_seconds
FROM change_log
WHERE seq > %(seq)s;

-- name: journal_files
-- How far journal files are stored, and how long ago something was stored.
SELECT file, offset_bytes, extract(epoch FROM clock_timestamp() - last_stored_at)::float8 AS age_seconds
FROM journal_file
WHERE file = ANY (%(files)s);

-- name: time_zones
-- Time zones that tenants and schedules use, with some of those who do.
SELECT time_zone, array_agg(who ORDER BY who) AS used_by
FROM (SELECT time_zone, 'tenant ' || name AS who FROM tenant
      UNION ALL
      SELECT s.time_zone, 'schedule ' || s.name || ' of ' || t.name FROM schedule s JOIN tenant t USING (tenant_id)
     ) AS zones
GROUP BY time_zone
ORDER BY time_zone;
