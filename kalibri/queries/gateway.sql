-- Gateways: SIP next hops. Tenant 0 owns those that serve everybody.

-- name: list_gateways
-- Gateways of one tenant, or of all (tenant_id null), with the state of their trunk registration and their groups.
SELECT g.tenant_id, o.name AS tenant, g.gateway_id, g.name, g.host, g.port, g.transport,
       g.source_networks::text[] AS source_networks, g.source_port, g.enabled, g.max_calls, g.region, g.probe,
       g.media_relay, g.no_reply_timeout_ms, g.ring_timeout_seconds, g.trusted, g.note,
       g.health, g.health_reason, g.health_changed_at,
       CASE WHEN t.enabled THEN t.state END AS registration,
       coalesce(t.state_reason, '') AS registration_reason, t.state_changed_at AS registration_changed_at,
       ARRAY(SELECT p.name FROM gateway_group_member m JOIN gateway_group p USING (group_id)
             WHERE m.gateway_id = g.gateway_id ORDER BY p.name) AS groups,
       (SELECT count(*) FROM gateway_rate r WHERE r.gateway_id = g.gateway_id) AS rates
FROM gateway g
JOIN tenant o USING (tenant_id)
LEFT JOIN trunk t USING (gateway_id)
WHERE (%(tenant_id)s::integer IS NULL OR g.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR g.name = %(name)s)
ORDER BY o.tenant_id <> 0, o.name, g.name;

-- name: usable_gateway
-- The gateway that a name means for a tenant: its own first, then the system's.
SELECT gateway_id, tenant_id, name
FROM gateway
WHERE name = %(name)s AND tenant_id IN (%(tenant_id)s, 0)
ORDER BY tenant_id = 0
LIMIT 1;

-- name: gateway_settings
-- What is configured about a gateway; nobody else changes it until the transaction ends.
SELECT gateway_id, name, host, port, transport, source_networks::text[] AS source_networks, source_port, enabled,
       max_calls, region, probe, media_relay, no_reply_timeout_ms, ring_timeout_seconds, trusted, note
FROM gateway
WHERE tenant_id = %(tenant_id)s AND name = %(name)s
FOR UPDATE;

-- name: add_gateway
-- A new gateway.
INSERT INTO gateway (tenant_id, name, host, port, transport, source_networks, source_port, enabled, max_calls,
                     region, probe, media_relay, no_reply_timeout_ms, ring_timeout_seconds, trusted, note)
VALUES (%(tenant_id)s, %(name)s, %(host)s, %(port)s, %(transport)s, %(source_networks)s::text[]::cidr[],
        %(source_port)s, %(enabled)s, %(max_calls)s, %(region)s, %(probe)s, %(media_relay)s,
        %(no_reply_timeout_ms)s, %(ring_timeout_seconds)s, %(trusted)s, %(note)s);

-- name: set_gateway
-- Everything about a gateway that can be changed.
UPDATE gateway
SET host = %(host)s, port = %(port)s, transport = %(transport)s,
    source_networks = %(source_networks)s::text[]::cidr[], source_port = %(source_port)s, enabled = %(enabled)s,
    max_calls = %(max_calls)s, region = %(region)s, probe = %(probe)s, media_relay = %(media_relay)s,
    no_reply_timeout_ms = %(no_reply_timeout_ms)s, ring_timeout_seconds = %(ring_timeout_seconds)s,
    trusted = %(trusted)s, note = %(note)s
WHERE gateway_id = %(gateway_id)s;

-- name: remove_gateway
-- A gateway with its rates and its trunk registration.
DELETE FROM gateway WHERE gateway_id = %(gateway_id)s;

-- name: owners_of_same_name
-- Tenants that have a gateway of this name of their own.
SELECT tenant_id FROM gateway WHERE name = %(name)s AND tenant_id <> 0;

-- name: rates
-- Prices of a gateway, by prefix.
SELECT prefix, price_per_minute, connection_fee, first_increment_seconds, next_increment_seconds, currency
FROM gateway_rate
WHERE gateway_id = %(gateway_id)s
ORDER BY prefix;

-- name: remove_rates
-- Prices for prefixes that are no longer in the list.
DELETE FROM gateway_rate WHERE gateway_id = %(gateway_id)s AND prefix = ANY (%(prefixes)s::text[]);

-- name: make_rate_staging
-- A table for imported prices, with the same rules.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_rate (LIKE gateway_rate INCLUDING CONSTRAINTS) ON COMMIT DROP;

-- name: stage_rate
-- One imported price.
INSERT INTO staged_rate (gateway_id, prefix, price_per_minute, connection_fee, first_increment_seconds,
                         next_increment_seconds, currency)
VALUES (%(gateway_id)s, %(prefix)s, %(price_per_minute)s, %(connection_fee)s, %(first_increment_seconds)s,
        %(next_increment_seconds)s, %(currency)s);

-- name: take_over_rates
-- Imported prices count, also for prefixes that had one; the staging table is empty afterwards.
WITH staged AS (DELETE FROM staged_rate RETURNING *)
INSERT INTO gateway_rate (gateway_id, prefix, price_per_minute, connection_fee, first_increment_seconds,
                          next_increment_seconds, currency)
SELECT gateway_id, prefix, price_per_minute, connection_fee, first_increment_seconds, next_increment_seconds, currency
FROM staged
ON CONFLICT ON CONSTRAINT gateway_rate_pkey DO UPDATE
SET price_per_minute = EXCLUDED.price_per_minute, connection_fee = EXCLUDED.connection_fee,
    first_increment_seconds = EXCLUDED.first_increment_seconds,
    next_increment_seconds = EXCLUDED.next_increment_seconds, currency = EXCLUDED.currency;
