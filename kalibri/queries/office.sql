-- Virtual offices.

-- name: list
-- Offices of a tenant, or of all (tenant_id null).
SELECT o.tenant_id, t.name AS tenant, o.name, o.number, o.made, o.made_at, o.made_by
FROM office o JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR o.tenant_id = %(tenant_id)s) AND (%(name)s::text IS NULL OR o.name = %(name)s)
ORDER BY t.name, o.name;

-- name: add
-- Notes what was made.
INSERT INTO office (tenant_id, name, number, made, made_by)
VALUES (%(tenant_id)s, %(name)s, %(number)s, %(made)s, %(by)s);

-- name: remove
-- Forgets an office.
DELETE FROM office WHERE tenant_id = %(tenant_id)s AND name = %(name)s;
