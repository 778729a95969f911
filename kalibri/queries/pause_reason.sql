-- Why agents pause.

-- name: list_pause_reasons
-- Reasons of a tenant, with how many agents pause for each now.
SELECT r.tenant_id, t.name AS tenant, r.name, r.paid, r.enabled,
       (SELECT count(*) FROM agent_live a WHERE a.tenant_id = r.tenant_id AND a.state = 'paused' AND a.pause_reason = r.name) AS paused
FROM pause_reason r JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR r.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR r.name = %(name)s)
ORDER BY t.name, r.name;

-- name: add_pause_reason
-- A new reason.
INSERT INTO pause_reason (tenant_id, name, paid) VALUES (%(tenant_id)s, %(name)s, %(paid)s);

-- name: set_pause_reason
-- Whether a reason is paid and may be chosen.
UPDATE pause_reason SET paid = %(paid)s, enabled = %(enabled)s WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: remove_pause_reason
-- A reason that nobody may choose any more; history keeps the word.
DELETE FROM pause_reason WHERE tenant_id = %(tenant_id)s AND name = %(name)s;
