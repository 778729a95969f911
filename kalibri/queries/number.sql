-- The inventory of public numbers.

-- name: list_numbers
-- Numbers in order; a filter that is null lets everything through. A gateway of a tenant is "tenant/name".
SELECT n.number, n.state::text, n.tenant_id, t.name AS tenant, n.gateway_id,
       CASE WHEN g.tenant_id = 0 THEN g.name ELSE owner.name || '/' || g.name END AS gateway,
       n.destination_kind::text, n.destination, n.note, n.changed_at
FROM number n
LEFT JOIN tenant t USING (tenant_id)
LEFT JOIN gateway g ON g.gateway_id = n.gateway_id
LEFT JOIN tenant owner ON owner.tenant_id = g.tenant_id
WHERE (%(tenant_id)s::integer IS NULL OR n.tenant_id = %(tenant_id)s)
  AND (%(state)s::number_state IS NULL OR n.state = %(state)s)
  AND (%(first)s::text IS NULL OR n.number BETWEEN %(first)s AND %(last)s)
ORDER BY n.number
LIMIT %(limit)s;

-- name: gateway_names
-- All gateways as the inventory names them: those of the system by name, those of a tenant as "tenant/name".
SELECT g.gateway_id, CASE WHEN g.tenant_id = 0 THEN g.name ELSE t.name || '/' || g.name END AS name
FROM gateway g
JOIN tenant t USING (tenant_id);

-- name: tenant_names
-- All tenants.
SELECT tenant_id, name FROM tenant;

-- name: lock_numbers
-- What the inventory holds of these numbers; nobody else changes it until the transaction ends.
SELECT number, state::text, tenant_id, destination_kind::text, destination, gateway_id, note
FROM number
WHERE number = ANY (%(numbers)s)
ORDER BY number
FOR UPDATE;

-- name: add_numbers
-- New, free numbers; returns those that were not there.
INSERT INTO number (number, gateway_id, note)
SELECT unnest(%(numbers)s::text[]), %(gateway_id)s, %(note)s
ON CONFLICT (number) DO NOTHING
RETURNING number;

-- name: move_numbers
-- An operation of the state machine on those numbers whose state and owner allow it; returns them. A note that is
-- null, and the destination when it is to be kept, stay as they are.
UPDATE number
SET state = %(state)s::number_state,
    tenant_id = %(tenant_id)s,
    destination_kind = CASE WHEN %(keep_destination)s THEN destination_kind
                            ELSE %(destination_kind)s::destination_kind END,
    destination = CASE WHEN %(keep_destination)s THEN destination ELSE %(destination)s END,
    note = coalesce(%(note)s, note),
    changed_at = now()
WHERE number = ANY (%(numbers)s)
  AND state = ANY (%(allowed)s::number_state[])
  AND (tenant_id IS NULL OR %(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
RETURNING number;

-- name: set_numbers
-- Another gateway or note, whatever the state; returns the numbers that are there.
UPDATE number
SET gateway_id = CASE WHEN %(keep_gateway)s THEN gateway_id ELSE %(gateway_id)s::integer END,
    note = coalesce(%(note)s, note),
    changed_at = now()
WHERE number = ANY (%(numbers)s)
RETURNING number;

-- name: remove_numbers
-- Numbers that nobody uses leave the inventory; returns them.
DELETE FROM number
WHERE number = ANY (%(numbers)s) AND state = ANY (%(allowed)s::number_state[])
RETURNING number;

-- name: save_numbers
-- Numbers of an import: new ones, and those that still are in the state in which they were read (locked).
INSERT INTO number (number, state, tenant_id, destination_kind, destination, gateway_id, note)
SELECT number, state::number_state, tenant_id, destination_kind::destination_kind, destination, gateway_id, note
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS n (number text, state text, tenant_id integer, destination_kind text, destination text, gateway_id integer,
          note text)
ON CONFLICT (number) DO UPDATE
SET state = EXCLUDED.state, tenant_id = EXCLUDED.tenant_id, destination_kind = EXCLUDED.destination_kind,
    destination = EXCLUDED.destination, gateway_id = EXCLUDED.gateway_id, note = EXCLUDED.note, changed_at = now()
WHERE number.state::text = %(before)s::jsonb ->> number.number;
