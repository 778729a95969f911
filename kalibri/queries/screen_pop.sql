-- What opens with a call.

-- name: list_pops
-- Screen pops of a tenant, or (tenant_id null) of all; what is for everybody last.
SELECT p.tenant_id, t.name AS tenant, p.pop_id, q.name AS queue, a.name AS agent, c.name AS campaign, p.url, p.open_at, f.name AS form, p.enabled
FROM screen_pop p
JOIN tenant t USING (tenant_id)
LEFT JOIN queue q USING (tenant_id, queue_id)
LEFT JOIN agent a USING (tenant_id, agent_id)
LEFT JOIN campaign c USING (tenant_id, campaign_id)
LEFT JOIN form f USING (tenant_id, form_id)
WHERE (%(tenant_id)s::integer IS NULL OR p.tenant_id = %(tenant_id)s)
ORDER BY t.name, a.name NULLS LAST, c.name NULLS LAST, q.name NULLS LAST;

-- name: find_pop
-- The screen pop of exactly this target, for a change.
SELECT pop_id, url, open_at, form_id, enabled FROM screen_pop
WHERE tenant_id = %(tenant_id)s AND queue_id IS NOT DISTINCT FROM %(queue_id)s::integer
  AND agent_id IS NOT DISTINCT FROM %(agent_id)s::integer AND campaign_id IS NOT DISTINCT FROM %(campaign_id)s::integer
FOR UPDATE;

-- name: set_pop
-- Makes or changes the screen pop of a target.
INSERT INTO screen_pop (tenant_id, queue_id, agent_id, campaign_id, url, open_at, form_id, enabled)
VALUES (%(tenant_id)s, %(queue_id)s, %(agent_id)s, %(campaign_id)s, %(url)s, %(open_at)s, %(form_id)s, %(enabled)s)
ON CONFLICT (tenant_id, queue_id, agent_id, campaign_id) DO UPDATE
SET url = excluded.url, open_at = excluded.open_at, form_id = excluded.form_id, enabled = excluded.enabled;

-- name: remove_pop
-- Removes the screen pop of a target.
DELETE FROM screen_pop
WHERE tenant_id = %(tenant_id)s AND queue_id IS NOT DISTINCT FROM %(queue_id)s::integer
  AND agent_id IS NOT DISTINCT FROM %(agent_id)s::integer AND campaign_id IS NOT DISTINCT FROM %(campaign_id)s::integer;
