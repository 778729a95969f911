-- Tenants. Tenant 0 is the system.

-- name: list_tenants
-- All tenants, the system first, with how many accounts each has.
SELECT t.*, (SELECT count(*) FROM account a WHERE a.tenant_id = t.tenant_id) AS accounts
FROM tenant t
ORDER BY t.tenant_id <> 0, t.name;

-- name: find_tenant
-- One tenant by name.
SELECT t.*, (SELECT count(*) FROM account a WHERE a.tenant_id = t.tenant_id) AS accounts
FROM tenant t
WHERE t.name = %(name)s;

-- name: lock_tenant
-- One tenant by name; nobody else changes it or adds accounts to it until the transaction ends.
SELECT t.*, (SELECT count(*) FROM account a WHERE a.tenant_id = t.tenant_id) AS accounts
FROM tenant t
WHERE t.name = %(name)s
FOR UPDATE OF t;

-- name: add_tenant
-- A new tenant; returns its id.
INSERT INTO tenant (name, realm, time_zone, max_calls)
VALUES (%(name)s, %(realm)s, %(time_zone)s, %(max_calls)s)
RETURNING tenant_id;

-- name: set_tenant
-- Everything about a tenant that can be changed.
UPDATE tenant
SET realm = %(realm)s, time_zone = %(time_zone)s, max_calls = %(max_calls)s, enabled = %(enabled)s
WHERE tenant_id = %(tenant_id)s;

-- name: remove_tenant
-- A tenant that owns nothing any more.
DELETE FROM tenant WHERE tenant_id = %(tenant_id)s;
