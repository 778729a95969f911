-- Known recordings, and clusters of early media that nobody knows.

-- name: list_fingerprints
-- Fingerprints without their audio; a filter that is null lets everything through.
SELECT f.tenant_id, t.name AS tenant, f.fingerprint_id, f.name, f.reason, f.note, f.duration_ms, f.created_at, f.created_by,
       coalesce((SELECT sum(c.calls) FROM media_cluster c
                 WHERE c.tenant_id = f.tenant_id AND c.fingerprint_id = f.fingerprint_id), 0)::integer AS clustered_calls
FROM fingerprint f JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR f.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR f.name = %(name)s)
  AND (%(reason)s::hangup_reason IS NULL OR f.reason = %(reason)s)
ORDER BY t.name, f.name;

-- name: load_fingerprints
-- Words of the fingerprints that one tenant (null: any) hears: its own and everybody's.
SELECT tenant_id, fingerprint_id, name, reason, version, words, sounds,
       CASE WHEN version <> %(version)s THEN audio END AS audio
FROM fingerprint
WHERE %(tenant_id)s::integer IS NULL OR tenant_id IN (0, %(tenant_id)s)
ORDER BY fingerprint_id;

-- name: state
-- Changes whenever fingerprints do.
SELECT md5(coalesce(string_agg(concat_ws('/', tenant_id, fingerprint_id, name, reason), ',' ORDER BY fingerprint_id), ''))
FROM fingerprint;

-- name: add_fingerprint
-- A new fingerprint.
INSERT INTO fingerprint (tenant_id, name, reason, note, duration_ms, version, words, sounds, audio, created_by)
VALUES (%(tenant_id)s, %(name)s, %(reason)s, %(note)s, %(duration_ms)s, %(version)s, %(words)s, %(sounds)s, %(audio)s, %(by)s)
RETURNING fingerprint_id;

-- name: remove_fingerprint
-- A fingerprint goes; clusters that it labelled are unlabelled again.
DELETE FROM fingerprint WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: lock_clusters
-- Early media of a tenant is clustered one after the other.
SELECT pg_advisory_xact_lock(hashtext('media_cluster'), %(tenant_id)s);

-- name: known_early_media
-- Whether this early media is stored already.
SELECT cluster_id FROM early_media WHERE tenant_id = %(tenant_id)s AND early_media_id = %(early_media_id)s;

-- name: load_clusters
-- Words of a tenant's clusters.
SELECT cluster_id, duration_ms, version, words, sounds, CASE WHEN version <> %(version)s THEN audio END AS audio
FROM media_cluster WHERE tenant_id = %(tenant_id)s
ORDER BY cluster_id;

-- name: add_cluster
-- A cluster of one call.
INSERT INTO media_cluster (tenant_id, first_at, last_at, calls, duration_ms, version, words, sounds, audio)
VALUES (%(tenant_id)s, %(heard_at)s, %(heard_at)s, 1, %(duration_ms)s, %(version)s, %(words)s, %(sounds)s, %(audio)s)
RETURNING cluster_id;

-- name: join_cluster
-- One more call of a cluster.
UPDATE media_cluster SET calls = calls + 1, first_at = least(first_at, %(heard_at)s), last_at = greatest(last_at, %(heard_at)s)
WHERE tenant_id = %(tenant_id)s AND cluster_id = %(cluster_id)s;

-- name: set_exemplar
-- A better sample stands for the cluster, unless it is labelled.
UPDATE media_cluster
SET duration_ms = %(duration_ms)s, version = %(version)s, words = %(words)s, sounds = %(sounds)s, audio = %(audio)s
WHERE tenant_id = %(tenant_id)s AND cluster_id = %(cluster_id)s AND fingerprint_id IS NULL;

-- name: add_early_media
-- A failed call whose early media was clustered.
INSERT INTO early_media (tenant_id, early_media_id, cluster_id, call_id, number, code, heard_at, duration_ms)
VALUES (%(tenant_id)s, %(early_media_id)s, %(cluster_id)s, %(call_id)s, %(number)s, %(code)s, %(heard_at)s, %(duration_ms)s);

-- name: trim_calls
-- The oldest calls of a cluster are not listed any more; they stay counted.
DELETE FROM early_media
WHERE tenant_id = %(tenant_id)s AND cluster_id = %(cluster_id)s AND early_media_id IN (
    SELECT early_media_id FROM early_media WHERE tenant_id = %(tenant_id)s AND cluster_id = %(cluster_id)s
    ORDER BY heard_at DESC, early_media_id DESC OFFSET %(keep)s);

-- name: trim_clusters
-- Clusters that nobody labelled go when there are too many, those with few and old calls first.
DELETE FROM media_cluster
WHERE tenant_id = %(tenant_id)s AND fingerprint_id IS NULL AND cluster_id IN (
    SELECT cluster_id FROM media_cluster WHERE tenant_id = %(tenant_id)s AND fingerprint_id IS NULL
    ORDER BY calls > 1 DESC, last_at DESC, cluster_id DESC OFFSET %(keep)s);

-- name: list_clusters
-- Clusters, those that concern most calls first; a filter that is null lets everything through.
SELECT c.tenant_id, t.name AS tenant, c.cluster_id, c.calls, c.first_at, c.last_at, c.duration_ms, f.name AS label, f.reason,
       (SELECT array_agg(DISTINCT e.code ORDER BY e.code) FROM early_media e
        WHERE e.tenant_id = c.tenant_id AND e.cluster_id = c.cluster_id AND e.code IS NOT NULL) AS codes
FROM media_cluster c JOIN tenant t USING (tenant_id) LEFT JOIN fingerprint f USING (tenant_id, fingerprint_id)
WHERE (%(tenant_id)s::integer IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(cluster_id)s::integer IS NULL OR c.cluster_id = %(cluster_id)s)
  AND (%(labelled)s OR c.fingerprint_id IS NULL)
ORDER BY c.calls DESC, c.last_at DESC
LIMIT %(limit)s;

-- name: list_early_media
-- Calls of a cluster, the latest first.
SELECT early_media_id, call_id, number, code, heard_at, duration_ms
FROM early_media WHERE cluster_id = %(cluster_id)s
ORDER BY heard_at DESC, early_media_id DESC LIMIT %(limit)s;

-- name: cluster_sample
-- The sample that stands for a cluster, to be labelled or listened to.
SELECT tenant_id, cluster_id, fingerprint_id, duration_ms, version, words, sounds, audio
FROM media_cluster WHERE cluster_id = %(cluster_id)s FOR UPDATE;

-- name: cluster_audio
-- The sample that stands for a cluster.
SELECT audio FROM media_cluster WHERE cluster_id = %(cluster_id)s;

-- name: label_cluster
-- What a cluster is from now on.
UPDATE media_cluster SET fingerprint_id = %(fingerprint_id)s
WHERE tenant_id = %(tenant_id)s AND cluster_id = %(cluster_id)s;

-- name: find_fingerprint
-- A fingerprint of this tenant by name.
SELECT fingerprint_id FROM fingerprint WHERE tenant_id = %(tenant_id)s AND name = %(name)s;
