-- Recordings: what there is, where its files lie, how far ks-rec is with each, who did what with it.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE recording_state AS ENUM (
    'spooled',  -- the call's files are complete; nobody works on them yet
    'claimed',  -- a worker has taken it
    'mixed',    -- the stereo WAV is whole
    'encoded',  -- the MP3 is whole
    'stored',   -- what is kept lies in its place, with its checksums here
    'indexed',  -- finished; what the node wrote is deleted
    'failed',   -- a step failed; it is tried again later
    'removed'   -- deleted by somebody or by its retention; only the tombstone is left
);

CREATE TYPE recording_reason AS ENUM (
    'route',    -- option of a route
    'queue',    -- option of a queue
    'account',  -- option of an account, or of its tenant
    'demand',   -- a person, by ksctl
    'api',      -- another program
    'message'   -- a caller leaves a message
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE recording_policy (
    tenant_id            integer CONSTRAINT recording_policy_pkey PRIMARY KEY
                         CONSTRAINT recording_policy_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    record_calls         boolean NOT NULL DEFAULT false,
    keep_wav             boolean NOT NULL DEFAULT false,
    keep_original        boolean NOT NULL DEFAULT false,
    retention_days       integer DEFAULT 1825
                         CONSTRAINT recording_policy_retention_check CHECK (retention_days BETWEEN 1 AND 36500),
    archive_after_days   integer
                         CONSTRAINT recording_policy_archive_check CHECK (archive_after_days BETWEEN 0 AND 36500),
    archive_keeps_local  boolean NOT NULL DEFAULT false,
    restored_days        integer NOT NULL DEFAULT 7
                         CONSTRAINT recording_policy_restored_check CHECK (restored_days BETWEEN 0 AND 36500)
);
COMMENT ON TABLE recording_policy IS 'What a tenant wants of its recordings; a tenant without a row has that of tenant 0.';
COMMENT ON COLUMN recording_policy.record_calls IS 'Every call is recorded that neither route nor account decides about.';
COMMENT ON COLUMN recording_policy.retention_days IS 'Deleted so many days after the call; null: never.';
COMMENT ON COLUMN recording_policy.archive_after_days IS 'Copied to the archive so many days after the call; null: never.';
COMMENT ON COLUMN recording_policy.archive_keeps_local IS 'The copy at hand stays when there is one in the archive.';
COMMENT ON COLUMN recording_policy.restored_days IS 'What was restored from the archive stays at hand for so many days.';

CREATE TABLE recording (
    tenant_id      integer NOT NULL CONSTRAINT recording_tenant_fkey REFERENCES tenant,
    recording_id   uuid NOT NULL CONSTRAINT recording_id_key UNIQUE,
    call_id        uuid NOT NULL,
    started_at     timestamptz NOT NULL,
    stopped_at     timestamptz,
    stop_reason    text NOT NULL DEFAULT '',
    a_number       text NOT NULL DEFAULT '',
    b_number       text NOT NULL DEFAULT '',
    reason         recording_reason NOT NULL,
    node           text NOT NULL DEFAULT '',
    host           text NOT NULL,
    state          recording_state NOT NULL DEFAULT 'spooled',
    state_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms    bigint CONSTRAINT recording_duration_check CHECK (duration_ms >= 0),
    marks          jsonb NOT NULL DEFAULT '[]',
    quality        jsonb NOT NULL DEFAULT '{}',
    claimed_by     text,
    claimed_until  timestamptz,
    attempts       integer NOT NULL DEFAULT 0,
    retry_at       timestamptz,
    error          text NOT NULL DEFAULT '',
    legal_hold     boolean NOT NULL DEFAULT false,
    indexed_at     timestamptz,
    restored_at    timestamptz,
    removed_at     timestamptz,
    removed_by     text NOT NULL DEFAULT '',
    CONSTRAINT recording_pkey PRIMARY KEY (tenant_id, recording_id),
    CONSTRAINT recording_claim_check CHECK ((claimed_by IS NULL) = (claimed_until IS NULL)),
    CONSTRAINT recording_indexed_check CHECK (state <> 'indexed' OR indexed_at IS NOT NULL),
    CONSTRAINT recording_removed_check CHECK ((state = 'removed') = (removed_at IS NOT NULL)),
    CONSTRAINT recording_hold_check CHECK (NOT (legal_hold AND state = 'removed'))
);
COMMENT ON TABLE recording IS 'One recording of a call. A removed one stays as its tombstone.';
COMMENT ON COLUMN recording.host IS 'Machine on which its files lie (configuration: node_name).';
COMMENT ON COLUMN recording.marks IS '[{kind: pause|hold|music, side, from_ms, to_ms}] on the time line of the audio.';
COMMENT ON COLUMN recording.quality IS 'Per side: packets, lost, repeated, reordered, streams, restarts, codecs.';
COMMENT ON COLUMN recording.claimed_by IS 'Worker of ks-rec; its claim ends at claimed_until if it does not renew it.';
COMMENT ON COLUMN recording.legal_hold IS 'Neither retention nor a person deletes it.';
COMMENT ON COLUMN recording.restored_at IS 'When its files were last fetched from the archive.';
CREATE INDEX recording_call_idx ON recording (call_id);
COMMENT ON INDEX recording_call_idx IS 'Recordings of a call.';
CREATE INDEX recording_started_idx ON recording (tenant_id, started_at);
COMMENT ON INDEX recording_started_idx IS 'recording list of a tenant; retention and archiving.';
CREATE INDEX recording_work_idx ON recording (host, started_at) WHERE state NOT IN ('indexed', 'removed');
COMMENT ON INDEX recording_work_idx IS 'What ks-rec of a machine has to do.';

CREATE TABLE recording_file (
    tenant_id     integer NOT NULL,
    recording_id  uuid NOT NULL,
    name          text NOT NULL CONSTRAINT recording_file_name_check CHECK (name ~ '^(mp3|wav|pcap-[0-9]+)$'),
    path          text NOT NULL CONSTRAINT recording_file_path_check CHECK (path ~ '^[0-9]+/[0-9a-f/-]+\.[a-z0-9.]+$'),
    bytes         bigint NOT NULL CONSTRAINT recording_file_bytes_check CHECK (bytes >= 0),
    sha256        text NOT NULL CONSTRAINT recording_file_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    local         boolean NOT NULL DEFAULT true,
    archive       text,
    archived_at   timestamptz,
    CONSTRAINT recording_file_pkey PRIMARY KEY (tenant_id, recording_id, name),
    CONSTRAINT recording_file_recording_fkey FOREIGN KEY (tenant_id, recording_id) REFERENCES recording,
    CONSTRAINT recording_file_archive_check CHECK ((archive IS NULL) = (archived_at IS NULL))
);
COMMENT ON TABLE recording_file IS 'Files of recordings with their checksums. They stay listed when they are deleted, as proof of what there was.';
COMMENT ON COLUMN recording_file.path IS 'Below the folder of recordings, and the key in the archive.';
COMMENT ON COLUMN recording_file.local IS 'The file is at hand on the recording''s host.';
COMMENT ON COLUMN recording_file.archive IS 'Archive that holds a copy, as dir:/mnt/archive or s3://bucket/prefix; null: none.';

CREATE TABLE recording_event (
    tenant_id     integer NOT NULL,
    recording_id  uuid NOT NULL,
    event_id      bigint GENERATED ALWAYS AS IDENTITY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text NOT NULL CONSTRAINT recording_event_kind_check CHECK (kind ~ '^[a-z_]{1,32}$'),
    by            text NOT NULL,
    data          jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT recording_event_pkey PRIMARY KEY (tenant_id, recording_id, event_id),
    CONSTRAINT recording_event_recording_fkey FOREIGN KEY (tenant_id, recording_id) REFERENCES recording
);
COMMENT ON TABLE recording_event IS 'Audit: who did what with a recording, and when. Rows are only added.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION recording_next(state recording_state, step text) RETURNS recording_state LANGUAGE sql IMMUTABLE AS $$
-- callcore.recording.TRANSITIONS as SQL; null: not allowed.
SELECT CASE
    WHEN step = 'claim' AND state IN ('spooled', 'failed', 'claimed') THEN 'claimed'
    WHEN step = 'claim' AND state IN ('mixed', 'encoded', 'stored') THEN state
    WHEN step = 'mix' AND state = 'claimed' THEN 'mixed'
    WHEN step = 'encode' AND state = 'mixed' THEN 'encoded'
    WHEN step = 'store' AND state = 'encoded' THEN 'stored'
    WHEN step = 'index' AND state = 'stored' THEN 'indexed'
    WHEN step = 'lose' AND state IN ('mixed', 'encoded') THEN 'claimed'
    WHEN step = 'fail' AND state IN ('claimed', 'mixed', 'encoded') THEN 'failed'
    WHEN step = 'fail' AND state = 'stored' THEN 'stored'
    WHEN step = 'remove' AND state <> 'removed' THEN 'removed'
END::recording_state
$$;
COMMENT ON FUNCTION recording_next(recording_state, text) IS 'The state after a step; null if the state does not allow it.';

CREATE FUNCTION recording_claim(own_host text, worker text, lease interval) RETURNS uuid LANGUAGE sql AS $$
-- The oldest recording of this machine that nobody works on and that is due; no two workers get the same.
UPDATE recording r
SET state = recording_next(r.state, 'claim'), state_at = clock_timestamp(),
    claimed_by = worker, claimed_until = clock_timestamp() + lease
FROM (SELECT tenant_id, recording_id FROM recording
      WHERE host = own_host AND state NOT IN ('indexed', 'removed')
        AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
        AND (retry_at IS NULL OR retry_at <= clock_timestamp())
      ORDER BY started_at
      LIMIT 1
      FOR UPDATE SKIP LOCKED) AS due
WHERE (r.tenant_id, r.recording_id) = (due.tenant_id, due.recording_id)
RETURNING r.recording_id
$$;
COMMENT ON FUNCTION recording_claim(text, text, interval) IS 'Gives a worker of ks-rec its next recording, or null; the claim ends after the lease.';

CREATE FUNCTION recording_advance(recording uuid, worker text, step text) RETURNS recording_state LANGUAGE plpgsql AS $$
-- Precondition: the worker holds the claim, and the state allows the step. Null: it does not hold it any more.
-- The last step ends the claim. Attempts are counted since the last progress.
DECLARE
    before recording_state;
    after recording_state;
BEGIN
    SELECT r.state INTO before FROM recording r
    WHERE r.recording_id = recording AND r.claimed_by = worker FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    after := recording_next(before, step);
    IF after IS NULL THEN
        RAISE EXCEPTION 'a recording that is % cannot %', before, step;
    END IF;
    UPDATE recording r
    SET state = after, state_at = clock_timestamp(), error = '', attempts = 0, retry_at = NULL,
        claimed_by = CASE WHEN after <> 'indexed' THEN worker END,
        claimed_until = CASE WHEN after <> 'indexed' THEN r.claimed_until END,
        indexed_at = CASE WHEN after = 'indexed' THEN clock_timestamp() ELSE r.indexed_at END
    WHERE r.recording_id = recording;
    RETURN after;
END $$;
COMMENT ON FUNCTION recording_advance(uuid, text, text) IS 'Takes a step with a claimed recording; returns the new state, null if the claim is lost.';

CREATE FUNCTION recording_fail(recording uuid, worker text, why text, wait interval) RETURNS recording_state LANGUAGE sql AS $$
-- Precondition: the worker holds the claim. The recording is due again after `wait`.
UPDATE recording r
SET state = recording_next(r.state, 'fail'), state_at = clock_timestamp(), error = why, attempts = r.attempts + 1,
    retry_at = clock_timestamp() + wait, claimed_by = NULL, claimed_until = NULL
WHERE r.recording_id = recording AND r.claimed_by = worker
RETURNING r.state
$$;
COMMENT ON FUNCTION recording_fail(uuid, text, text, interval) IS 'Notes that a step could not be done, and when to try again.';

CREATE VIEW tenant_recording_policy AS
SELECT t.tenant_id, p.record_calls, p.keep_wav, p.keep_original, p.retention_days, p.archive_after_days,
       p.archive_keeps_local, p.restored_days, own.tenant_id IS NOT NULL AS own
FROM tenant t
LEFT JOIN recording_policy own ON own.tenant_id = t.tenant_id
JOIN recording_policy p ON p.tenant_id = coalesce(own.tenant_id, 0);
COMMENT ON VIEW tenant_recording_policy IS 'The policy that holds for each tenant: its own, or that of tenant 0.';

-- ------------------------------------------------------------------------------------------ first rows

INSERT INTO recording_policy (tenant_id) VALUES (0);

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL log_changes_of('recording_policy', 'tenant_id',
                    '{keep_wav,keep_original,retention_days,archive_after_days,archive_keeps_local,restored_days}');

CALL audit_changes_of('recording_policy', '{}', '{}', '');
CALL protect_tenant_rows('recording_policy', shared => true);
CALL protect_tenant_rows('recording');
CALL protect_tenant_rows('recording_file');
CALL protect_tenant_rows('recording_event');
