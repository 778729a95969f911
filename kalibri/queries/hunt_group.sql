-- Hunt groups: accounts that ring under one name.

-- name: list_hunt_groups
-- Hunt groups of a tenant (null: of all), with their members in order.
SELECT g.tenant_id, t.name AS tenant, g.name, g.mode, g.ring_seconds,
       ARRAY(SELECT a.username FROM hunt_group_member m JOIN account a USING (tenant_id, account_id)
             WHERE (m.tenant_id, m.group_id) = (g.tenant_id, g.group_id) ORDER BY m.position, a.username) AS members,
       g.fallback_kind, g.fallback
FROM hunt_group g JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR g.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR g.name = %(name)s)
ORDER BY t.name, g.name;

-- name: add_hunt_group
-- A new group without members.
INSERT INTO hunt_group (tenant_id, name, mode, ring_seconds, fallback_kind, fallback)
VALUES (%(tenant_id)s, %(name)s, %(mode)s::hunt_mode, %(ring_seconds)s, %(fallback_kind)s::forward_kind, %(fallback)s);

-- name: set_hunt_group
-- How a group rings.
UPDATE hunt_group
SET mode = %(mode)s::hunt_mode, ring_seconds = %(ring_seconds)s, fallback_kind = %(fallback_kind)s::forward_kind, fallback = %(fallback)s
WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: leave_hunt_group
-- Members who are not in the list any more.
DELETE FROM hunt_group_member m
USING hunt_group g, account a
WHERE g.tenant_id = %(tenant_id)s AND g.name = %(name)s
  AND (m.tenant_id, m.group_id) = (g.tenant_id, g.group_id)
  AND (a.tenant_id, a.account_id) = (m.tenant_id, m.account_id) AND a.username <> ALL (%(members)s::text[]);

-- name: join_hunt_group
-- Members by the order of the list.
INSERT INTO hunt_group_member (tenant_id, group_id, account_id, position)
SELECT g.tenant_id, g.group_id, a.account_id, wanted.position
FROM unnest(%(members)s::text[]) WITH ORDINALITY AS wanted (username, position)
JOIN hunt_group g ON g.tenant_id = %(tenant_id)s AND g.name = %(name)s
JOIN account a ON a.tenant_id = g.tenant_id AND a.username = wanted.username
ON CONFLICT ON CONSTRAINT hunt_group_member_pkey DO UPDATE SET position = EXCLUDED.position;

-- name: unknown_members
-- Which of these are no accounts of the tenant.
SELECT wanted.username AS name FROM unnest(%(members)s::text[]) AS wanted (username)
WHERE NOT EXISTS (SELECT FROM account a WHERE a.tenant_id = %(tenant_id)s AND a.username = wanted.username);

-- name: remove_hunt_group
-- A group; its members stay accounts.
DELETE FROM hunt_group WHERE tenant_id = %(tenant_id)s AND name = %(name)s;
