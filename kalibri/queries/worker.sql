-- What ks-worker does: runs, partitions, archive, retention, clean-up.

-- name: try_lock
-- Holds a job for this connection; false: it runs already, here or on another machine.
SELECT pg_try_advisory_lock(hashtext('worker'), hashtext(%(job)s));

-- name: unlock
-- Lets a job go.
SELECT pg_advisory_unlock(hashtext('worker'), hashtext(%(job)s));

-- name: begin_run
-- Notes that a job begins; earlier runs that were never finished died.
WITH died AS (
    UPDATE worker_run SET outcome = 'failed', finished_at = now(), detail = 'the process died'
    WHERE job = %(job)s AND outcome = 'running')
INSERT INTO worker_run (job, node) VALUES (%(job)s, %(node)s) RETURNING run_id;

-- name: end_run
-- Notes how a job ended.
UPDATE worker_run SET finished_at = clock_timestamp(), outcome = %(outcome)s, detail = %(detail)s WHERE run_id = %(run_id)s;

-- name: last_runs
-- The last run of each job, and whether it is held now.
SELECT DISTINCT ON (r.job) r.job, r.node, r.started_at, r.finished_at, r.outcome, r.detail,
       extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at)::float8 AS seconds,
       extract(epoch FROM clock_timestamp() - r.started_at)::float8 AS age_seconds,
       EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.classid = (hashtext('worker')::bigint & 4294967295)::oid
               AND l.objid = (hashtext(r.job)::bigint & 4294967295)::oid) AS running
FROM worker_run r
ORDER BY r.job, r.started_at DESC;

-- name: forget_runs
-- Removes notes of old runs.
DELETE FROM worker_run WHERE started_at < now() - make_interval(days => %(days)s);

-- name: day_tables
-- Tables that are kept by day.
SELECT name FROM day_tables() AS name;

-- name: ensure_day
-- Makes the partition of a table for a day.
SELECT ensure_day_of(%(parent)s, %(day)s);

-- name: today
-- The day by the clock of the database.
SELECT (now() AT TIME ZONE 'UTC')::date;

-- name: day_partitions
-- The day partitions of a table up to a day, the oldest first.
SELECT part, day FROM day_partitions(%(parent)s) WHERE day <= %(until)s;

-- name: keep_days
-- How long each tenant keeps its calls, where it says so.
SELECT tenant_id, keep_calls_days FROM retention;

-- name: archived
-- What is archived of a day of a table, the newest file of each tenant.
SELECT DISTINCT ON (tenant_id) tenant_id, row_count FROM archive_file
WHERE noun = %(noun)s AND day = %(day)s
ORDER BY tenant_id, archive_id DESC;

-- name: add_archive_file
-- Notes a file of the archive.
INSERT INTO archive_file (tenant_id, noun, day, path, row_count, size_bytes, sha256)
VALUES (%(tenant_id)s, %(noun)s, %(day)s, %(path)s, %(row_count)s, %(size_bytes)s, %(sha256)s);

-- name: list_archive
-- Files of the archive, the newest days first.
SELECT f.archive_id, f.tenant_id, t.name AS tenant, f.noun, f.day, f.path, f.row_count, f.size_bytes, f.sha256, f.made_at
FROM archive_file f LEFT JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR f.tenant_id = %(tenant_id)s)
ORDER BY f.day DESC, f.noun, f.tenant_id, f.archive_id
LIMIT %(limit)s;

-- name: list_retention
-- How long tenants keep calls.
SELECT t.tenant_id, t.name AS tenant, r.keep_calls_days FROM tenant t LEFT JOIN retention r USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR t.tenant_id = %(tenant_id)s)
ORDER BY t.tenant_id;

-- name: set_retention
-- Gives a tenant a period of its own.
INSERT INTO retention (tenant_id, keep_calls_days) VALUES (%(tenant_id)s, %(keep_calls_days)s)
ON CONFLICT (tenant_id) DO UPDATE SET keep_calls_days = excluded.keep_calls_days;

-- name: unset_retention
-- Lets the system's period count for a tenant.
DELETE FROM retention WHERE tenant_id = %(tenant_id)s;

-- name: forget_locations
-- Removes registrations that expired a day ago: their proxy is gone, or it would have removed them.
DELETE FROM kamailio.location WHERE expires < (now() AT TIME ZONE 'UTC') - interval '1 day';

-- name: forget_changes
-- Removes old changes; the newest stay, for ks-index builds everything anew when those that it lacks are gone.
DELETE FROM change_log
WHERE at < now() - make_interval(days => %(days)s) AND seq <= (SELECT max(seq) FROM change_log) - %(keep)s;

-- name: forget_quarantine
-- Removes lines that nobody has looked at for long.
DELETE FROM journal_quarantine WHERE at < now() - make_interval(days => %(days)s);

-- name: forget_holds
-- Removes what campaigns noted of old seconds.
DELETE FROM campaign_hold WHERE until < now() - make_interval(days => %(days)s);

-- name: forget_caller_id_use
-- Removes old days of caller ids.
DELETE FROM caller_id_use WHERE day < current_date - %(days)s::integer;

-- name: dirty_tables
-- Tables with so many dead rows that autovacuum cannot keep up, and partitions that were never analyzed.
SELECT schemaname, relname
FROM pg_stat_user_tables
WHERE n_dead_tup > 50000 AND n_dead_tup > n_live_tup * 0.2
   OR n_live_tup > 1000 AND last_analyze IS NULL AND last_autoanalyze IS NULL
ORDER BY n_dead_tup DESC;
