-- Gateway groups. Tenant 0 owns those that serve everybody.

-- name: list_groups
-- Groups of one tenant, or of all (tenant_id null), with how many gateways and how much weight are in use.
SELECT p.tenant_id, o.name AS tenant, p.group_id, p.name, p.note, count(m.gateway_id) AS members,
       coalesce(sum(m.weight) FILTER (WHERE g.enabled), 0)::integer AS weight
FROM gateway_group p
JOIN tenant o USING (tenant_id)
LEFT JOIN gateway_group_member m USING (group_id)
LEFT JOIN gateway g USING (gateway_id)
WHERE (%(tenant_id)s::integer IS NULL OR p.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR p.name = %(name)s)
GROUP BY p.group_id, o.tenant_id
ORDER BY o.tenant_id <> 0, o.name, p.name;

-- name: members
-- Gateways of a group, the heaviest first.
SELECT o.name AS owner, g.name AS gateway, m.weight, g.enabled, g.health
FROM gateway_group_member m
JOIN gateway g USING (gateway_id)
JOIN tenant o USING (tenant_id)
WHERE m.group_id = %(group_id)s
ORDER BY m.weight DESC, o.tenant_id <> 0, g.name;

-- name: add_group
-- A new group.
INSERT INTO gateway_group (tenant_id, name, note) VALUES (%(tenant_id)s, %(name)s, %(note)s);

-- name: set_group
-- The note of a group.
UPDATE gateway_group SET note = %(note)s WHERE group_id = %(group_id)s;

-- name: remove_group
-- A group; its gateways stay.
DELETE FROM gateway_group WHERE group_id = %(group_id)s;

-- name: set_member
-- A gateway is in a group with this weight.
INSERT INTO gateway_group_member (group_id, gateway_id, weight)
VALUES (%(group_id)s, %(gateway_id)s, %(weight)s)
ON CONFLICT ON CONSTRAINT gateway_group_member_pkey DO UPDATE SET weight = EXCLUDED.weight;

-- name: remove_member
-- The gateways of this name leave a group (the owner's own and the system's may both be in it).
DELETE FROM gateway_group_member m
USING gateway g
WHERE m.group_id = %(group_id)s AND g.gateway_id = m.gateway_id AND g.name = %(gateway)s;

-- name: owners_of_same_group
-- Tenants that have a group of this name of their own.
SELECT tenant_id FROM gateway_group WHERE name = %(name)s AND tenant_id <> 0;
