-- Recordings: the listing, the pipeline's steps, what people do with them.

-- name: list_recordings
-- Recordings, the latest first; a filter that is null lets everything through.
SELECT r.tenant_id, t.name AS tenant, r.recording_id, r.call_id, r.started_at, r.stopped_at, r.stop_reason,
       r.a_number, r.b_number, r.reason::text AS reason, r.node, r.host, r.state::text AS state, r.state_at,
       r.duration_ms, r.marks, r.quality, r.attempts, r.retry_at, r.error, r.legal_hold, r.indexed_at, r.restored_at,
       r.removed_at, r.removed_by, coalesce(f.bytes, 0)::bigint AS bytes,
       coalesce(f.local, false) AS local, coalesce(f.archived, false) AS archived
FROM recording r
JOIN tenant t USING (tenant_id)
LEFT JOIN LATERAL (SELECT sum(bytes) AS bytes, bool_and(local) AS local, bool_and(archive IS NOT NULL) AS archived
                   FROM recording_file f
                   WHERE (f.tenant_id, f.recording_id) = (r.tenant_id, r.recording_id)) AS f ON true
WHERE (%(tenant_id)s::integer IS NULL OR r.tenant_id = %(tenant_id)s)
  AND (%(recording_ids)s::uuid[] IS NULL OR r.recording_id = ANY(%(recording_ids)s))
  AND (%(call_id)s::uuid IS NULL OR r.call_id = %(call_id)s)
  AND (%(since)s::timestamptz IS NULL OR r.started_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR r.started_at < %(until)s)
  AND (%(number)s::text IS NULL OR starts_with(r.a_number, %(number)s) OR starts_with(r.b_number, %(number)s))
  AND (%(states)s::text[] IS NULL OR r.state::text = ANY(%(states)s))
  AND (%(legal_hold)s::boolean IS NULL OR r.legal_hold = %(legal_hold)s)
ORDER BY r.started_at DESC, r.recording_id DESC
LIMIT %(limit)s;

-- name: ids_like
-- Recordings whose id, or whose call's id, lies between these; two are enough to see that it is not clear.
SELECT recording_id FROM recording
WHERE recording_id BETWEEN %(first)s AND %(last)s OR call_id BETWEEN %(first)s AND %(last)s
LIMIT 2;

-- name: files
-- The files of recordings.
SELECT tenant_id, recording_id, name, path, bytes, sha256, local, archive, archived_at
FROM recording_file WHERE recording_id = ANY(%(recording_ids)s)
ORDER BY recording_id, name;

-- name: events
-- Who did what with a recording, in time order.
SELECT at, kind, by, data FROM recording_event WHERE recording_id = %(recording_id)s ORDER BY event_id;

-- name: add_event
-- Notes who did what with a recording.
INSERT INTO recording_event (tenant_id, recording_id, kind, by, data)
SELECT tenant_id, recording_id, %(kind)s, %(by)s, %(data)s::jsonb FROM recording WHERE recording_id = %(recording_id)s;

-- name: policy
-- The policy that holds for a tenant.
SELECT tenant_id, own, record_calls, keep_wav, keep_original, retention_days, archive_after_days, archive_keeps_local,
       restored_days
FROM tenant_recording_policy WHERE tenant_id = %(tenant_id)s;

-- name: set_policy
-- A tenant's own policy.
INSERT INTO recording_policy (tenant_id, record_calls, keep_wav, keep_original, retention_days, archive_after_days,
                              archive_keeps_local, restored_days)
VALUES (%(tenant_id)s, %(record_calls)s, %(keep_wav)s, %(keep_original)s, %(retention_days)s, %(archive_after_days)s,
        %(archive_keeps_local)s, %(restored_days)s)
ON CONFLICT ON CONSTRAINT recording_policy_pkey DO UPDATE
SET record_calls = EXCLUDED.record_calls, keep_wav = EXCLUDED.keep_wav, keep_original = EXCLUDED.keep_original,
    retention_days = EXCLUDED.retention_days, archive_after_days = EXCLUDED.archive_after_days,
    archive_keeps_local = EXCLUDED.archive_keeps_local, restored_days = EXCLUDED.restored_days;

-- name: drop_policy
-- A tenant has the system's policy again.
DELETE FROM recording_policy WHERE tenant_id = %(tenant_id)s AND tenant_id <> 0;

-- name: set_hold
-- Begins or ends a legal hold; nothing changes for a removed one.
UPDATE recording SET legal_hold = %(legal_hold)s
WHERE recording_id = %(recording_id)s AND state <> 'removed' AND legal_hold <> %(legal_hold)s;

-- name: remove
-- Makes a recording its tombstone, unless a legal hold forbids it. A worker that has it loses its claim.
UPDATE recording
SET state = recording_next(state, 'remove'), state_at = clock_timestamp(), removed_at = clock_timestamp(),
    removed_by = %(by)s, a_number = '', b_number = '', marks = '[]', claimed_by = NULL, claimed_until = NULL
WHERE recording_id = %(recording_id)s AND state <> 'removed' AND NOT legal_hold;

-- name: register
-- A recording whose files are complete; one that is known already stays as it is. Returns whether it is new.
INSERT INTO recording (tenant_id, recording_id, call_id, started_at, stopped_at, stop_reason, a_number, b_number,
                       reason, node, host)
SELECT coalesce((SELECT tenant_id FROM tenant WHERE tenant_id = %(tenant_id)s), 0), %(recording_id)s, %(call_id)s,
       %(started_at)s, %(stopped_at)s, %(stop_reason)s, %(a_number)s, %(b_number)s, %(reason)s::recording_reason,
       %(node)s, %(host)s
ON CONFLICT ON CONSTRAINT recording_id_key DO NOTHING
RETURNING true;

-- name: states
-- How far these recordings are; unknown ones are missing.
SELECT recording_id, state::text AS state FROM recording WHERE recording_id = ANY(%(recording_ids)s);

-- name: claim
-- The next recording of this machine for a worker, if any.
SELECT recording_claim(%(host)s, %(worker)s, make_interval(secs => %(lease_seconds)s));

-- name: job
-- What a worker needs to know of the recording that it has claimed.
SELECT tenant_id, recording_id, call_id, started_at, state::text AS state, duration_ms, attempts
FROM recording WHERE recording_id = %(recording_id)s;

-- name: set_mixed
-- What is known once the audio is placed.
UPDATE recording SET duration_ms = %(duration_ms)s, marks = %(marks)s::jsonb, quality = %(quality)s::jsonb
WHERE recording_id = %(recording_id)s AND claimed_by = %(worker)s;

-- name: add_file
-- A file in its place, with its checksum.
INSERT INTO recording_file (tenant_id, recording_id, name, path, bytes, sha256)
VALUES (%(tenant_id)s, %(recording_id)s, %(name)s, %(path)s, %(bytes)s, %(sha256)s)
ON CONFLICT ON CONSTRAINT recording_file_pkey DO UPDATE
SET path = EXCLUDED.path, bytes = EXCLUDED.bytes, sha256 = EXCLUDED.sha256;

-- name: advance
-- A step with a claimed recording; null if the claim is lost.
SELECT recording_advance(%(recording_id)s, %(worker)s, %(step)s)::text;

-- name: fail
-- A step could not be done; null if the claim is lost.
SELECT recording_fail(%(recording_id)s, %(worker)s, %(why)s, make_interval(secs => %(wait_seconds)s))::text;

-- name: renew
-- Workers that live keep their claims.
UPDATE recording SET claimed_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE claimed_by = ANY(%(workers)s);

-- name: claimed
-- What is claimed on a machine, by whom, and how often it failed since the last progress.
SELECT recording_id, claimed_by, attempts FROM recording WHERE host = %(host)s AND claimed_by IS NOT NULL;

-- name: backlog
-- How many recordings of a machine wait, how many of them failed before, and why the last one did.
SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS failing,
       (array_agg(error ORDER BY state_at DESC) FILTER (WHERE attempts > 0))[1] AS error
FROM recording WHERE host = %(host)s AND state NOT IN ('indexed', 'removed');

-- name: due_expired
-- Recordings of a machine whose retention is over.
SELECT r.recording_id FROM recording r JOIN tenant_recording_policy p USING (tenant_id)
WHERE r.host = %(host)s AND r.state <> 'removed' AND NOT r.legal_hold
  AND r.started_at <= clock_timestamp() - make_interval(days => p.retention_days)
ORDER BY r.started_at LIMIT %(limit)s;

-- name: due_erase
-- Removed recordings of a machine of which files are left, at hand or in the archive.
SELECT DISTINCT f.recording_id FROM recording_file f JOIN recording r USING (tenant_id, recording_id)
WHERE r.host = %(host)s AND r.state = 'removed' AND (f.local OR f.archive IS NOT NULL)
LIMIT %(limit)s;

-- name: due_archive
-- Finished recordings of a machine that belong into the archive and are not in it.
SELECT DISTINCT r.recording_id FROM recording r
JOIN tenant_recording_policy p USING (tenant_id)
JOIN recording_file f USING (tenant_id, recording_id)
WHERE r.host = %(host)s AND r.state = 'indexed' AND f.archive IS NULL AND f.local
  AND r.started_at <= clock_timestamp() - make_interval(days => p.archive_after_days)
LIMIT %(limit)s;

-- name: due_thin_out
-- Recordings of a machine that are at hand although the archive has them and nobody needs both.
SELECT DISTINCT r.recording_id FROM recording r
JOIN tenant_recording_policy p USING (tenant_id)
JOIN recording_file f USING (tenant_id, recording_id)
WHERE r.host = %(host)s AND r.state = 'indexed' AND f.archive IS NOT NULL AND f.local AND NOT p.archive_keeps_local
  AND (r.restored_at IS NULL OR r.restored_at <= clock_timestamp() - make_interval(days => p.restored_days))
LIMIT %(limit)s;

-- name: set_archived
-- A file has a copy in the archive.
UPDATE recording_file SET archive = %(archive)s, archived_at = clock_timestamp()
WHERE recording_id = %(recording_id)s AND name = %(name)s;

-- name: set_unarchived
-- The copy in the archive is gone.
UPDATE recording_file SET archive = NULL, archived_at = NULL
WHERE recording_id = %(recording_id)s AND name = %(name)s;

-- name: set_local
-- A file is at hand, or is not any more.
UPDATE recording_file SET local = %(local)s WHERE recording_id = %(recording_id)s AND name = %(name)s;

-- name: set_restored
-- The files were fetched from the archive just now.
UPDATE recording SET restored_at = clock_timestamp() WHERE recording_id = %(recording_id)s;

-- name: maintenance_lock
-- Whether this connection is now the one that looks after the recordings of a machine.
SELECT pg_try_advisory_lock(hashtext('recording_maintenance'), hashtext(%(host)s));
