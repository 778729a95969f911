-- The audit log; triggers write it (schema/40_api.sql).

-- name: list_audit
-- Entries, the latest first; null lets everything through.
SELECT a.audit_id, a.at, a.tenant_id, t.name AS tenant, a.actor, a.origin, a.noun, a.operation, a.key, a.before, a.after
FROM audit_log a LEFT JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR a.tenant_id = %(tenant_id)s)
  AND (%(noun)s::text IS NULL OR a.noun = %(noun)s)
  AND (%(actor)s::text IS NULL OR strpos(lower(a.actor), lower(%(actor)s)) > 0)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
  AND (%(before)s::bigint IS NULL OR a.audit_id < %(before)s)
ORDER BY a.audit_id DESC
LIMIT %(limit)s;

-- name: allow_forgetting
-- Says for this transaction that what is removed is old (the trigger audit_log_only_grows).
SELECT set_config('kalibri.retention', 'audit_log', true);

-- name: forget_audit
-- Removes entries older than so many days.
DELETE FROM audit_log WHERE at < now() - make_interval(days => %(days)s);
