-- What ks-worker does and has done: runs of jobs, how long tenants keep what, files of the archive.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE job_outcome AS ENUM (
    'running',  -- not finished; or its process died, if nobody holds its lock
    'ok',       -- did what it had to
    'failed'    -- raised an error, which detail tells
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE worker_run (
    run_id       bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT worker_run_pkey PRIMARY KEY,
    job          text NOT NULL,
    node         text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    outcome      job_outcome NOT NULL DEFAULT 'running',
    detail       text NOT NULL DEFAULT '',
    CONSTRAINT worker_run_outcome_check CHECK ((outcome = 'running') = (finished_at IS NULL))
);
COMMENT ON TABLE worker_run IS 'Each run of a job of ks-worker, with its duration.';
CREATE INDEX worker_run_job_idx ON worker_run (job, started_at);
COMMENT ON INDEX worker_run_job_idx IS 'The last run of a job.';

CREATE TABLE retention (
    tenant_id        integer NOT NULL CONSTRAINT retention_pkey PRIMARY KEY
                     CONSTRAINT retention_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    keep_calls_days  integer NOT NULL CONSTRAINT retention_keep_calls_check CHECK (keep_calls_days BETWEEN 1 AND 36500)
);
COMMENT ON TABLE retention IS 'How long tenants keep calls and their events, where it is not as long as the system does (worker.keep_calls_days).';

CREATE TABLE archive_file (
    archive_id  integer GENERATED ALWAYS AS IDENTITY CONSTRAINT archive_file_pkey PRIMARY KEY,
    tenant_id   integer,
    noun        text NOT NULL,
    day         date NOT NULL,
    path        text NOT NULL CONSTRAINT archive_file_path_key UNIQUE,
    row_count   bigint NOT NULL,
    size_bytes  bigint NOT NULL,
    sha256      text NOT NULL CONSTRAINT archive_file_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    made_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE archive_file IS 'Compressed CSV files of old days, a file for each table, day and tenant; tenant null: rows of no tenant.';
COMMENT ON COLUMN archive_file.path IS 'Key in the archive (worker.archive).';
CREATE INDEX archive_file_day_idx ON archive_file (noun, day);
COMMENT ON INDEX archive_file_day_idx IS 'Is a day of a table archived?';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION day_partitions(parent text) RETURNS TABLE (part text, day date) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, to_date(right(c.relname, 8), 'YYYYMMDD')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
    ORDER BY 2
$$;
COMMENT ON FUNCTION day_partitions(text) IS 'The day partitions of a table, the oldest first.';

CREATE FUNCTION day_tables() RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT c.relname::text
    FROM pg_partitioned_table p
    JOIN pg_class c ON c.oid = p.partrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0] AND a.atttypid = 'timestamptz'::regtype
    WHERE c.relnamespace = 'public'::regnamespace AND p.partstrat = 'r' AND p.partnatts = 1
    ORDER BY 1
$$;
COMMENT ON FUNCTION day_tables() IS 'Tables that are kept by day.';

CREATE FUNCTION ensure_day_of(parent text, day date) RETURNS boolean LANGUAGE plpgsql AS $$
-- A default partition that holds rows of this day already keeps them: there the day stays as it is.
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('day_partitions'));
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                   part, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN true;
EXCEPTION
    WHEN check_violation THEN
        RETURN false;
END $$;
COMMENT ON FUNCTION ensure_day_of(text, date) IS 'Makes the partition of one table for one UTC day; tells whether it was missing.';

-- ------------------------------------------------------------------------------------------- triggers

CALL audit_changes_of('retention', '{}', '{}', '');

-- ---------------------------------------------------------------------------------- row-level security

CALL protect_tenant_rows('retention');
CALL protect_tenant_rows('archive_file');
REVOKE INSERT, UPDATE, DELETE ON retention, archive_file FROM kalibri_api;
