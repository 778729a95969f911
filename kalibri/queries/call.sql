-- Calls and their stories, for people; the events of calls, for folding.

-- name: events_of_calls
-- Events of these calls, of these kinds (null: all), but not those that the caller has at hand (known); `since` spares
-- the partitions of older days.
SELECT event_id AS id, at, call_id AS call, tenant_id AS tenant, kind, node, process, data
FROM call_event
WHERE call_id = ANY (%(call_ids)s) AND at >= %(since)s
  AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
  AND event_id <> ALL (%(known)s);

-- name: list_calls
-- Calls, the latest first; a filter that is null lets everything through. Numbers are compared with those
-- that were dialled and those that were sent; a gateway with where the call came from and every attempt.
SELECT c.call_id, c.started_at, c.tenant_id, t.name AS tenant, c.direction::text, c.account,
       c.a_number, c.a_sent, c.b_number, c.b_sent, c.b_region, c.b_operator, c.route_ids,
       c.gateway_in_id, gi.name AS gateway_in, c.gateway_out_id, go.name AS gateway_out,
       c.emergency, c.attempts, c.media, c.ringing_at, c.answered_at, c.ended_at, c.ring_ms, c.talk_ms,
       c.final_code, c.cause, c.hung_up_by, c.sip_call_id, c.node
FROM call AS c
LEFT JOIN tenant AS t USING (tenant_id)
LEFT JOIN gateway AS gi ON gi.gateway_id = c.gateway_in_id
LEFT JOIN gateway AS go ON go.gateway_id = c.gateway_out_id
WHERE (%(call_id)s::uuid IS NULL OR c.call_id = %(call_id)s)
  AND (%(since)s::timestamptz IS NULL OR c.started_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.started_at < %(until)s)
  AND (%(tenant_id)s::integer IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(a)s::text[] IS NULL OR c.a_number LIKE ANY (%(a)s) OR c.a_sent LIKE ANY (%(a)s))
  AND (%(b)s::text[] IS NULL OR c.b_number LIKE ANY (%(b)s) OR c.b_sent LIKE ANY (%(b)s))
  AND (%(number)s::text[] IS NULL OR c.a_number LIKE ANY (%(number)s) OR c.a_sent LIKE ANY (%(number)s)
       OR c.b_number LIKE ANY (%(number)s) OR c.b_sent LIKE ANY (%(number)s))
  AND (%(gateway_ids)s::integer[] IS NULL OR c.gateway_in_id = ANY (%(gateway_ids)s) OR EXISTS (
       SELECT FROM jsonb_array_elements(c.attempts) AS attempt
       WHERE (attempt ->> 'gateway_id')::integer = ANY (%(gateway_ids)s)))
  AND (%(code)s::integer IS NULL OR c.final_code = %(code)s)
  AND (%(answered)s::boolean IS NULL OR (c.answered_at IS NOT NULL) = %(answered)s)
  AND (%(min_talk_ms)s::bigint IS NULL OR c.talk_ms >= %(min_talk_ms)s)
ORDER BY c.started_at DESC, c.call_id DESC
LIMIT %(limit)s;

-- name: call_going_on
-- A call of a tenant that has not ended, as ks-cdr or call distribution knows it; an agent's only if he has it.
SELECT coalesce(nullif(c.a_number, ''), e.caller, '') AS a, coalesce(nullif(c.b_number, ''), e.variables ->> 'called', '') AS b
FROM (VALUES (0)) AS always
LEFT JOIN LATERAL (
    SELECT a_number, b_number, account FROM call
    WHERE call_id = %(call_id)s AND tenant_id = %(tenant_id)s AND ended_at IS NULL
      AND started_at BETWEEN %(started_at)s::timestamptz - interval '1 s' AND %(started_at)s::timestamptz + interval '1 s'
    LIMIT 1) c ON true
LEFT JOIN LATERAL (
    SELECT caller, variables FROM queue_entry
    WHERE call_id = %(call_id)s AND tenant_id = %(tenant_id)s AND state <> 'ended'
    LIMIT 1) e ON true
WHERE (c.a_number IS NOT NULL OR e.caller IS NOT NULL)
  AND (%(account)s::text IS NULL OR c.account = %(account)s OR EXISTS (
       SELECT FROM offer o JOIN agent g USING (tenant_id, agent_id) JOIN account a USING (tenant_id, account_id)
       WHERE o.tenant_id = %(tenant_id)s AND o.call_id = %(call_id)s AND o.state = 'answered' AND a.username = %(account)s));

-- name: call_ids_between
-- Ids between two bounds, which is how the beginning of an id is looked up; the times are those inside the
-- bounds and spare the partitions of other days.
SELECT call_id
FROM call
WHERE call_id BETWEEN %(first)s AND %(last)s AND started_at BETWEEN %(first_time)s AND %(last_time)s
ORDER BY call_id
LIMIT %(limit)s;

-- name: gateways_of_name
-- Gateways of this name; each tenant may have one.
SELECT gateway_id AS id, name FROM gateway WHERE name = %(name)s;

-- name: gateways_of_ids
-- Names of these gateways.
SELECT gateway_id AS id, name FROM gateway WHERE gateway_id = ANY (%(ids)s);

-- name: routes_of_ids
-- Names of these routes, as far as they have one.
SELECT route_id AS id, name FROM route WHERE route_id = ANY (%(ids)s) AND name <> '';
