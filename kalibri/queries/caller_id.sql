-- Caller-ID sets: the number that is shown towards each region of destinations.

-- name: list_caller_ids
-- Numbers of sets; a filter that is null lets everything through. The default of a set comes first.
SELECT c.tenant_id, t.name AS tenant, c.set_name, c.region, c.number
FROM caller_id c
JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(set_name)s::text IS NULL OR c.set_name = %(set_name)s)
  AND (%(region)s::text IS NULL OR c.region = %(region)s)
ORDER BY c.tenant_id <> 0, t.name, c.set_name, c.region;

-- name: lock_tenant_caller_ids
-- Nobody else imports or changes caller ids of this tenant until the transaction ends.
SELECT tenant_id FROM tenant WHERE tenant_id = %(tenant_id)s FOR NO KEY UPDATE;

-- name: add_caller_ids
-- New numbers of sets.
INSERT INTO caller_id (tenant_id, set_name, region, number)
SELECT %(tenant_id)s, set_name, region, number
FROM unnest(%(set_names)s::text[], %(regions)s::text[], %(numbers)s::text[]) AS n (set_name, region, number);

-- name: set_caller_ids
-- Other numbers for regions that sets have already.
UPDATE caller_id AS c
SET number = n.number
FROM unnest(%(set_names)s::text[], %(regions)s::text[], %(numbers)s::text[]) AS n (set_name, region, number)
WHERE c.tenant_id = %(tenant_id)s AND c.set_name = n.set_name AND c.region = n.region;

-- name: remove_caller_ids
-- Regions that sets shall not have any more.
DELETE FROM caller_id AS c
USING unnest(%(set_names)s::text[], %(regions)s::text[]) AS n (set_name, region)
WHERE c.tenant_id = %(tenant_id)s AND c.set_name = n.set_name AND c.region = n.region;

-- name: routes_without_set
-- The first routes that name one of these sets although neither their tenant nor the system has it.
SELECT array_agg(route_id ORDER BY route_id)
FROM (SELECT route_id
      FROM route AS r
      WHERE r.options ->> 'caller_id_set' = ANY (%(set_names)s)
        AND (r.tenant_id = %(tenant_id)s OR %(tenant_id)s = 0)
        AND NOT EXISTS (SELECT
                        FROM caller_id AS c
                        WHERE c.set_name = r.options ->> 'caller_id_set' AND c.tenant_id IN (r.tenant_id, 0))
      ORDER BY route_id
      LIMIT 10) AS first_ones;
