-- Domains of tenants.

-- name: list_domains
-- Domains of one tenant, or of all (tenant_id null), with how many accounts may register in each.
SELECT d.tenant_id, t.name AS tenant, d.domain_id, d.name,
       (SELECT count(*) FROM account_domain a WHERE (a.tenant_id, a.domain_id) = (d.tenant_id, d.domain_id)) AS accounts
FROM domain d
JOIN tenant t USING (tenant_id)
WHERE %(tenant_id)s::integer IS NULL OR d.tenant_id = %(tenant_id)s
ORDER BY t.tenant_id <> 0, t.name, d.name;

-- name: find_domain
-- One domain of a tenant by name.
SELECT d.tenant_id, t.name AS tenant, d.domain_id, d.name,
       (SELECT count(*) FROM account_domain a WHERE (a.tenant_id, a.domain_id) = (d.tenant_id, d.domain_id)) AS accounts
FROM domain d
JOIN tenant t USING (tenant_id)
WHERE d.tenant_id = %(tenant_id)s AND d.name = %(name)s;

-- name: add_domains
-- New domains of a tenant.
INSERT INTO domain (tenant_id, name) SELECT %(tenant_id)s, unnest(%(names)s::text[]);

-- name: remove_domain
-- A domain in which no account registers.
DELETE FROM domain WHERE tenant_id = %(tenant_id)s AND domain_id = %(domain_id)s;
