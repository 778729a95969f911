-- Skills of tenants.

-- name: list_skills
-- Skills with how many agents have them and how many queues ask for them.
SELECT s.tenant_id, t.name AS tenant, s.skill_id, s.name,
       (SELECT count(*) FROM agent_skill a WHERE a.tenant_id = s.tenant_id AND a.skill_id = s.skill_id) AS agents,
       (SELECT count(DISTINCT queue_id) FROM queue_skill q WHERE q.tenant_id = s.tenant_id AND q.skill_id = s.skill_id) AS queues
FROM skill s JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY t.name, s.name;

-- name: add_skill
-- A new skill.
INSERT INTO skill (tenant_id, name) VALUES (%(tenant_id)s, %(name)s);

-- name: remove_skill
-- A skill that nobody has and no queue asks for.
DELETE FROM skill WHERE tenant_id = %(tenant_id)s AND skill_id = %(skill_id)s;
