-- Trunks: our registrations at carriers, one a gateway at most.

-- name: list_trunks
-- Trunks of the gateways of one tenant, or of all (tenant_id null).
SELECT g.tenant_id, o.name AS tenant, t.trunk_id, g.name AS gateway, t.username, t.domain, t.auth_username,
       t.auth_realm, t.expires_seconds, t.enabled, t.state, t.state_reason, t.state_changed_at
FROM trunk t
JOIN gateway g USING (gateway_id)
JOIN tenant o USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR g.tenant_id = %(tenant_id)s)
  AND (%(gateway)s::text IS NULL OR g.name = %(gateway)s)
ORDER BY o.tenant_id <> 0, o.name, g.name;

-- name: trunk_settings
-- What is configured about the trunk of a gateway; nobody else changes it until the transaction ends.
SELECT t.trunk_id, t.gateway_id, t.username, t.domain, t.auth_username, t.auth_realm, t.auth_ha1, t.expires_seconds,
       t.enabled
FROM trunk t
JOIN gateway g USING (gateway_id)
WHERE g.tenant_id = %(tenant_id)s AND g.name = %(gateway)s
FOR UPDATE OF t;

-- name: add_trunk
-- A new trunk.
INSERT INTO trunk (gateway_id, username, domain, auth_username, auth_realm, auth_ha1, expires_seconds, enabled)
VALUES (%(gateway_id)s, %(username)s, %(domain)s, %(auth_username)s, %(auth_realm)s, %(auth_ha1)s,
        %(expires_seconds)s, %(enabled)s);

-- name: set_trunk
-- Everything about a trunk that can be changed.
UPDATE trunk
SET username = %(username)s, domain = %(domain)s, auth_username = %(auth_username)s, auth_realm = %(auth_realm)s,
    auth_ha1 = %(auth_ha1)s, expires_seconds = %(expires_seconds)s, enabled = %(enabled)s
WHERE trunk_id = %(trunk_id)s;

-- name: remove_trunk
-- A trunk; its gateway stays.
DELETE FROM trunk WHERE trunk_id = %(trunk_id)s;
