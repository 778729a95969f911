-- Supplementary services of accounts.

-- name: account_services
-- What the accounts of a tenant have set (tenant_id null: of all); only those that have something, unless one is named.
SELECT a.tenant_id, t.name AS tenant, a.username,
       coalesce(own.do_not_disturb, false) AS do_not_disturb, coalesce(own.reject_anonymous, false) AS reject_anonymous,
       coalesce(own.only_white, false) AS only_white, coalesce(own.hide_number, false) AS hide_number,
       coalesce(own.pickup_group, '') AS pickup_group,
       ARRAY(SELECT condition || ' ' || kind || CASE WHEN destination <> '' THEN ':' || destination ELSE '' END
                    || coalesce(' after ' || seconds || ' s', '')
             FROM account_forward f WHERE (f.tenant_id, f.account_id) = (a.tenant_id, a.account_id) ORDER BY condition) AS forwards,
       ARRAY(SELECT pattern FROM account_caller c
             WHERE (c.tenant_id, c.account_id) = (a.tenant_id, a.account_id) AND list = 'black' ORDER BY pattern) AS black,
       ARRAY(SELECT pattern FROM account_caller c
             WHERE (c.tenant_id, c.account_id) = (a.tenant_id, a.account_id) AND list = 'white' ORDER BY pattern) AS white,
       ARRAY(SELECT slot || '=' || destination FROM account_speed_dial d
             WHERE (d.tenant_id, d.account_id) = (a.tenant_id, a.account_id) ORDER BY slot::integer) AS speed_dial
FROM account a
JOIN tenant t USING (tenant_id)
LEFT JOIN account_service own USING (tenant_id, account_id)
WHERE (%(tenant_id)s::integer IS NULL OR a.tenant_id = %(tenant_id)s)
  AND CASE WHEN %(username)s::text IS NOT NULL THEN a.username = %(username)s
      ELSE own.account_id IS NOT NULL
           OR EXISTS (SELECT FROM account_forward f WHERE (f.tenant_id, f.account_id) = (a.tenant_id, a.account_id))
           OR EXISTS (SELECT FROM account_caller c WHERE (c.tenant_id, c.account_id) = (a.tenant_id, a.account_id))
           OR EXISTS (SELECT FROM account_speed_dial d WHERE (d.tenant_id, d.account_id) = (a.tenant_id, a.account_id)) END
ORDER BY t.name, a.username;

-- name: account_id
-- The id of an account.
SELECT account_id FROM account WHERE tenant_id = %(tenant_id)s AND username = %(username)s;

-- name: set_account_service
-- What is on or off.
INSERT INTO account_service (tenant_id, account_id, do_not_disturb, reject_anonymous, only_white, hide_number, pickup_group)
VALUES (%(tenant_id)s, %(account_id)s, %(do_not_disturb)s, %(reject_anonymous)s, %(only_white)s, %(hide_number)s, %(pickup_group)s)
ON CONFLICT ON CONSTRAINT account_service_pkey DO UPDATE
SET do_not_disturb = EXCLUDED.do_not_disturb, reject_anonymous = EXCLUDED.reject_anonymous, only_white = EXCLUDED.only_white,
    hide_number = EXCLUDED.hide_number, pickup_group = EXCLUDED.pickup_group;

-- name: set_forward
-- A forwarding.
INSERT INTO account_forward (tenant_id, account_id, condition, kind, destination, seconds)
VALUES (%(tenant_id)s, %(account_id)s, %(condition)s::forward_condition, %(kind)s::forward_kind, %(destination)s, %(seconds)s)
ON CONFLICT ON CONSTRAINT account_forward_pkey DO UPDATE
SET kind = EXCLUDED.kind, destination = EXCLUDED.destination, seconds = EXCLUDED.seconds;

-- name: remove_forward
-- A forwarding; all of them if condition is null.
DELETE FROM account_forward
WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
  AND (%(condition)s::forward_condition IS NULL OR condition = %(condition)s::forward_condition);

-- name: list_caller
-- A caller on a list of the account.
INSERT INTO account_caller (tenant_id, account_id, pattern, list)
VALUES (%(tenant_id)s, %(account_id)s, %(pattern)s, %(list)s::screen_list)
ON CONFLICT ON CONSTRAINT account_caller_pkey DO UPDATE SET list = EXCLUDED.list;

-- name: unlist_caller
-- A caller who is on no list any more.
DELETE FROM account_caller WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s AND pattern = %(pattern)s;

-- name: set_speed_dial
-- A number in a slot.
INSERT INTO account_speed_dial (tenant_id, account_id, slot, destination)
VALUES (%(tenant_id)s, %(account_id)s, %(slot)s, %(destination)s)
ON CONFLICT ON CONSTRAINT account_speed_dial_pkey DO UPDATE SET destination = EXCLUDED.destination;

-- name: remove_speed_dial
-- An empty slot.
DELETE FROM account_speed_dial WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s AND slot = %(slot)s;

-- name: destination_exists
-- Whether a tenant has what a call is forwarded to.
SELECT CASE %(kind)s::forward_kind
           WHEN 'account' THEN EXISTS (SELECT FROM account WHERE tenant_id = %(tenant_id)s AND username = %(destination)s)
                               OR EXISTS (SELECT FROM hunt_group WHERE tenant_id = %(tenant_id)s AND name = %(destination)s)
           WHEN 'queue' THEN EXISTS (SELECT FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(destination)s)
           WHEN 'voicemail' THEN EXISTS (SELECT FROM ivr_scenario WHERE tenant_id = %(tenant_id)s AND name = %(destination)s)
           ELSE true END;

-- name: by_code
-- What a dialled code says.
SELECT account_service_by_code(%(tenant_id)s::integer, %(account_id)s::integer, %(action)s::star_action, %(argument)s,
                               %(slot)s, %(seconds)s::integer);

-- name: service_codes
-- Codes of a tenant's own.
SELECT action, code FROM service_code WHERE tenant_id = %(tenant_id)s ORDER BY action;

-- name: set_service_code
-- Another code for an action; an empty one switches it off.
INSERT INTO service_code (tenant_id, action, code) VALUES (%(tenant_id)s, %(action)s::star_action, %(code)s)
ON CONFLICT ON CONSTRAINT service_code_pkey DO UPDATE SET code = EXCLUDED.code;

-- name: reset_service_code
-- The usual code again.
DELETE FROM service_code WHERE tenant_id = %(tenant_id)s AND action = %(action)s::star_action;

-- name: forward_policy
-- What forwarding may cost a tenant.
SELECT to_numbers, max_calls, max_cost, max_seconds FROM forward_policy WHERE tenant_id = %(tenant_id)s;

-- name: set_forward_policy
-- Another policy.
INSERT INTO forward_policy (tenant_id, to_numbers, max_calls, max_cost, max_seconds)
VALUES (%(tenant_id)s, %(to_numbers)s, %(max_calls)s, %(max_cost)s, %(max_seconds)s)
ON CONFLICT ON CONSTRAINT forward_policy_pkey DO UPDATE
SET to_numbers = EXCLUDED.to_numbers, max_calls = EXCLUDED.max_calls, max_cost = EXCLUDED.max_cost, max_seconds = EXCLUDED.max_seconds;
