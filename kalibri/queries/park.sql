-- Calls that wait at a numbered slot.

-- name: take
-- A slot for a call.
SELECT park_take(%(tenant)s::integer, %(slot)s::integer, %(call)s::uuid, %(host)s::text, %(caller)s::text,
                 %(caller_name)s::text, %(parker)s::text, %(code)s::text)

-- name: free
-- The call is picked up, or gone.
DELETE FROM parked_call WHERE tenant_id = %(tenant)s::integer AND call_id = %(call)s::uuid

-- name: forget
-- What a media host held in an earlier life.
DELETE FROM parked_call WHERE host = %(host)s::text AND call_id <> ALL (%(calls)s::uuid[])

-- name: parked
-- Calls that wait at hosts that live.
SELECT parked.tenant_id, tenant.name AS tenant, parked.slot, parked.call_id::text AS call_id, parked.caller, parked.caller_name,
       parked.parker, parked.parked_at, parked.host
FROM parked_call AS parked
JOIN tenant USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR parked.tenant_id = %(tenant_id)s) AND park_host_lives(parked.host)
ORDER BY tenant.name, parked.slot;

-- name: at_slot
-- Which host holds the call at a slot.
SELECT parked.slot, parked.call_id::text AS call_id, parked.host, node.address
FROM parked_call AS parked
JOIN node ON node.name = parked.host AND node.kind = 'media'
WHERE parked.tenant_id = %(tenant_id)s AND parked.slot = %(slot)s AND park_host_lives(parked.host);

-- name: at_slots
-- Whose calls wait at these slots.
SELECT parked.tenant_id, parked.slot, parked.call_id::text AS call_id, parked.caller
FROM unnest(%(tenant_ids)s::integer[], %(slots)s::integer[]) AS wanted (tenant_id, slot)
JOIN parked_call AS parked USING (tenant_id, slot)
WHERE park_host_lives(parked.host);

-- name: policy
-- How a tenant parks.
SELECT slots, wait_seconds, ring_seconds, overflow_kind || ':' || overflow AS overflow
FROM park_policy WHERE tenant_id = %(tenant_id)s;

-- name: set_policy
-- How a tenant parks, from now on.
INSERT INTO park_policy (tenant_id, slots, wait_seconds, ring_seconds, overflow_kind, overflow)
VALUES (%(tenant_id)s, %(slots)s, %(wait_seconds)s, %(ring_seconds)s, %(overflow_kind)s::forward_kind, %(overflow)s)
ON CONFLICT ON CONSTRAINT park_policy_pkey DO UPDATE
SET slots = EXCLUDED.slots, wait_seconds = EXCLUDED.wait_seconds, ring_seconds = EXCLUDED.ring_seconds,
    overflow_kind = EXCLUDED.overflow_kind, overflow = EXCLUDED.overflow;
