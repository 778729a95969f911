-- name: database
-- Which database this is: another cluster, database or timeline has another past, and the index starts anew.
-- last_seq is the newest change, a snapshot that reads it contains every change up to it; first_seq the oldest kept.
SELECT system.system_identifier::text || '/' || own.oid::text || '/' || checkpoint.timeline_id::text AS database,
       coalesce(log.last_seq, 0) AS last_seq,
       coalesce(log.first_seq, 0) AS first_seq
FROM pg_control_system() AS system, pg_control_checkpoint() AS checkpoint, pg_database AS own,
     (SELECT min(seq) AS first_seq, max(seq) AS last_seq FROM change_log) AS log
WHERE own.datname = current_database();

-- name: changes
-- Changes after the given one, in commit order.
SELECT seq, noun, ids FROM change_log WHERE seq > %(after)s ORDER BY seq;

-- name: routes
-- The routes in use of these tenants (null: of all), in matching order, for a new base file or a check.
SELECT route_id, tenant_id, priority, enabled, directions::text[] AS directions,
       a_pattern, a_host_pattern, b_pattern, b_host_pattern, b_region, b_operator, schedule_id,
       a_mask_pattern, a_mask_replacement, b_mask_pattern, b_mask_replacement,
       destination_kind::text AS destination_kind, destination, options, name
FROM route
WHERE enabled AND (%(tenant_ids)s::integer[] IS NULL OR tenant_id = ANY(%(tenant_ids)s))
ORDER BY priority, route_id;

-- name: some_routes
-- The routes of these ids that exist, for the overlay.
SELECT route_id, tenant_id, priority, enabled, directions::text[] AS directions,
       a_pattern, a_host_pattern, b_pattern, b_host_pattern, b_region, b_operator, schedule_id,
       a_mask_pattern, a_mask_replacement, b_mask_pattern, b_mask_replacement,
       destination_kind::text AS destination_kind, destination, options, name
FROM route
WHERE route_id = ANY(%(route_ids)s);

-- name: directory
-- Every entry of the directory file: enabled accounts of enabled tenants, the number inventory, queues, services.
SELECT 'a:' || account.tenant_id || ':' || account.username AS key,
       jsonb_build_object(
           'account_id', account.account_id, 'username', account.username, 'tenant_id', account.tenant_id,
           'ha1_md5', account.ha1_md5, 'ha1_sha256', account.ha1_sha256,
           'domains', coalesce(own.names, '[]'::jsonb),
           'display_name', account.display_name, 'caller_number', account.caller_number,
           'max_contacts', account.max_contacts, 'max_calls', account.max_calls,
           'media_relay', account.media_relay, 'ring_timeout_seconds', account.ring_timeout_seconds,
           'agent_id', agent.agent_id, 'record', account.record)::text AS value
FROM account
JOIN tenant ON tenant.tenant_id = account.tenant_id AND tenant.enabled
LEFT JOIN agent ON agent.tenant_id = account.tenant_id AND agent.account_id = account.account_id
LEFT JOIN (SELECT tenant_id, account_id, jsonb_agg(domain.name ORDER BY domain.name) AS names
           FROM account_domain JOIN domain USING (tenant_id, domain_id)
           GROUP BY tenant_id, account_id) AS own
       ON own.tenant_id = account.tenant_id AND own.account_id = account.account_id
WHERE account.enabled
UNION ALL
SELECT 'n:' || number,
       jsonb_build_object(
           'number', number, 'state', state, 'tenant_id', tenant_id,
           'destination_kind', destination_kind, 'destination', destination, 'gateway_id', gateway_id)::text
FROM number
UNION ALL
SELECT 'q:' || queue.tenant_id || ':' || queue.name,
       jsonb_build_object(
           'queue_id', queue_id, 'tenant_id', queue.tenant_id, 'name', queue.name, 'anchored', anchored,
           'settings', media || jsonb_build_object('record', record))::text
FROM queue JOIN tenant ON tenant.tenant_id = queue.tenant_id AND tenant.enabled
UNION ALL
-- Services: only of accounts that have any.
SELECT 's:' || account.tenant_id || ':' || account.username,
       jsonb_strip_nulls(jsonb_build_object(
           'do_not_disturb', own.do_not_disturb, 'reject_anonymous', own.reject_anonymous,
           'only_white', own.only_white, 'hide_number', own.hide_number, 'pickup_group', nullif(own.pickup_group, ''))
       || jsonb_build_object('forwards', forwards.by_condition, 'black', callers.black, 'white', callers.white,
                             'speed_dial', dials.by_slot))::text
FROM account
JOIN tenant ON tenant.tenant_id = account.tenant_id AND tenant.enabled
LEFT JOIN account_service AS own ON own.tenant_id = account.tenant_id AND own.account_id = account.account_id
LEFT JOIN (SELECT tenant_id, account_id, jsonb_object_agg(condition, jsonb_build_array(kind, destination, seconds)) AS by_condition
           FROM account_forward GROUP BY tenant_id, account_id) AS forwards
       ON forwards.tenant_id = account.tenant_id AND forwards.account_id = account.account_id
LEFT JOIN (SELECT tenant_id, account_id, jsonb_agg(pattern ORDER BY pattern) FILTER (WHERE list = 'black') AS black,
                  jsonb_agg(pattern ORDER BY pattern) FILTER (WHERE list = 'white') AS white
           FROM account_caller GROUP BY tenant_id, account_id) AS callers
       ON callers.tenant_id = account.tenant_id AND callers.account_id = account.account_id
LEFT JOIN (SELECT tenant_id, account_id, jsonb_object_agg(slot, destination) AS by_slot
           FROM account_speed_dial GROUP BY tenant_id, account_id) AS dials
       ON dials.tenant_id = account.tenant_id AND dials.account_id = account.account_id
WHERE account.enabled AND num_nonnulls(own.account_id, forwards.account_id, callers.account_id, dials.account_id) > 0
UNION ALL
SELECT 'h:' || hunt_group.tenant_id || ':' || hunt_group.name,
       jsonb_build_object(
           'name', hunt_group.name, 'mode', mode, 'ring_seconds', ring_seconds,
           'members', coalesce((
               SELECT jsonb_agg(account.username ORDER BY member.position, account.username)
               FROM hunt_group_member AS member JOIN account USING (tenant_id, account_id)
               WHERE member.tenant_id = hunt_group.tenant_id AND member.group_id = hunt_group.group_id AND account.enabled), '[]'),
           'fallback', CASE WHEN fallback_kind IS NOT NULL THEN jsonb_build_array(fallback_kind, fallback) END)::text
FROM hunt_group JOIN tenant ON tenant.tenant_id = hunt_group.tenant_id AND tenant.enabled
UNION ALL
SELECT 'p:' || own.tenant_id || ':' || own.pickup_group,
       jsonb_build_object('members', jsonb_agg(account.username ORDER BY account.username))::text
FROM account_service AS own JOIN account USING (tenant_id, account_id)
WHERE own.pickup_group <> '' AND account.enabled
GROUP BY own.tenant_id, own.pickup_group;

-- name: system
-- The content of the system file as one JSON value; disabled tenants, gateways and trunks are left out.
WITH
enabled_tenant AS (SELECT tenant_id FROM tenant WHERE enabled),
enabled_gateway AS (SELECT gateway.* FROM gateway JOIN enabled_tenant USING (tenant_id) WHERE gateway.enabled)
SELECT jsonb_build_object(
    'tenants', (
        SELECT coalesce(jsonb_object_agg(tenant_id, jsonb_build_object(
            'name', name, 'realm', realm, 'time_zone', time_zone, 'max_calls', max_calls,
            'record_calls', record_calls,
            'codes', (SELECT jsonb_object_agg(action, code) FROM service_code WHERE service_code.tenant_id = tenant.tenant_id),
            'forward', (
                SELECT jsonb_build_object('to_numbers', to_numbers, 'max_calls', policy.max_calls,
                                          'max_cost', max_cost::text, 'max_seconds', max_seconds)
                FROM forward_policy AS policy WHERE policy.tenant_id = tenant.tenant_id))), '{}')
        FROM tenant JOIN tenant_recording_policy USING (tenant_id) WHERE enabled),
    'domains', (
        SELECT coalesce(jsonb_object_agg(domain.name, tenant_id), '{}')
        FROM domain JOIN enabled_tenant USING (tenant_id)),
    'gateways', (
        SELECT coalesce(jsonb_object_agg(gateway_id, jsonb_build_object(
            'gateway_id', gateway_id, 'tenant_id', tenant_id, 'name', name,
            'host', host, 'port', port, 'transport', transport,
            'source_networks', source_networks, 'source_port', source_port, 'max_calls', max_calls,
            'region', region, 'probe', probe, 'media_relay', media_relay,
            'no_reply_timeout_ms', no_reply_timeout_ms, 'ring_timeout_seconds', ring_timeout_seconds,
            'trusted', trusted,
            'trunk', (
                SELECT jsonb_build_object(
                    'trunk_id', trunk_id, 'username', username, 'domain', domain,
                    'auth_username', auth_username, 'auth_realm', auth_realm, 'auth_ha1', auth_ha1)
                FROM trunk WHERE trunk.gateway_id = enabled_gateway.gateway_id AND trunk.enabled),
            'rates', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'prefix', prefix, 'price_per_minute', price_per_minute::text,
                    'connection_fee', connection_fee::text,
                    'first_increment_seconds', first_increment_seconds,
                    'next_increment_seconds', next_increment_seconds, 'currency', currency) ORDER BY prefix), '[]')
                FROM gateway_rate WHERE gateway_rate.gateway_id = enabled_gateway.gateway_id))), '{}')
        FROM enabled_gateway),
    'groups', (
        SELECT coalesce(jsonb_object_agg(group_id, jsonb_build_object(
            'group_id', group_id, 'tenant_id', tenant_id, 'name', name,
            'members', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'gateway_id', gateway_id, 'weight', weight) ORDER BY gateway_id), '[]')
                FROM gateway_group_member AS member
                WHERE member.group_id = gateway_group.group_id
                  AND gateway_id IN (SELECT gateway_id FROM enabled_gateway)))), '{}')
        FROM gateway_group JOIN enabled_tenant USING (tenant_id)),
    'schedules', (
        SELECT coalesce(jsonb_object_agg(schedule_id, jsonb_build_object(
            'schedule_id', schedule_id, 'tenant_id', tenant_id, 'name', schedule.name,
            'time_zone', schedule.time_zone, 'hours', hours, 'holidays', holidays, 'on_holidays', on_holidays)), '{}')
        FROM schedule JOIN enabled_tenant USING (tenant_id)),
    'caller_ids', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'tenant_id', tenant_id, 'set_name', set_name, 'region', region, 'number', number)
            ORDER BY tenant_id, set_name, region), '[]')
        FROM caller_id JOIN enabled_tenant USING (tenant_id)),
    'nodes', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', name, 'kind', kind, 'host', host, 'address', address) ORDER BY name), '[]')
        FROM node WHERE enabled)
) AS system;

-- name: ranges
-- The number ranges in force, ascending; no rows if none were imported.
SELECT first, last, region, operator
FROM number_range JOIN number_range_set USING (set_id)
WHERE current
ORDER BY first;

-- name: range_set
-- The range set in force, if any.
SELECT set_id FROM number_range_set WHERE current;

-- name: kamailio_tables
-- Fingerprints of what Kamailio itself loads from us: it must reload when one changes, and only then.
SELECT (SELECT md5(coalesce(string_agg(dispatcher::text, chr(10) ORDER BY id), '')) FROM kamailio.dispatcher) AS dispatcher,
       (SELECT md5(coalesce(string_agg(uacreg::text, chr(10) ORDER BY id), '')) FROM kamailio.uacreg) AS uacreg;
