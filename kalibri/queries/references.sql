-- What leads to an object by its name; no foreign key can guard that.

-- name: references
-- Numbers and routes of a tenant that lead to an object; those of every tenant for an object of the system, except
-- tenants that have an object of the same name themselves.
SELECT 'number ' || number AS name
FROM number
WHERE destination_kind = %(kind)s::destination_kind AND destination = %(name)s
  AND (tenant_id = %(tenant_id)s OR %(tenant_id)s = 0) AND tenant_id <> ALL (%(shadowed_by)s::integer[])
UNION ALL
SELECT 'route ' || route_id
FROM route
WHERE destination_kind = %(kind)s::destination_kind AND destination = %(name)s
  AND (tenant_id = %(tenant_id)s OR %(tenant_id)s = 0) AND tenant_id <> ALL (%(shadowed_by)s::integer[])
ORDER BY name
LIMIT 6;
