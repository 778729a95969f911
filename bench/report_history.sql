-- A month of facts for bench/report_history.py. Parameters: tenant, calls, first (a day), days, queues, agents, gateways, campaigns, entries.

-- name: queue
-- Configuration.
INSERT INTO queue (tenant_id, name) SELECT %(tenant)s, 'q' || n FROM generate_series(1, %(queues)s) n;

-- name: agent
-- Configuration.
INSERT INTO agent (tenant_id, name, number) SELECT %(tenant)s, 'a' || n, '100' FROM generate_series(1, %(agents)s) n;

-- name: gateway
-- Configuration.
INSERT INTO gateway (tenant_id, name, host) SELECT %(tenant)s, 'g' || n, '192.0.2.1' FROM generate_series(1, %(gateways)s) n;

-- name: pause_reason
-- Configuration.
INSERT INTO pause_reason (tenant_id, name, paid) VALUES (%(tenant)s, 'lunch', false), (%(tenant)s, 'wc', true);

-- name: campaign
-- Configuration.
INSERT INTO campaign (tenant_id, name, mode, prompt, consent_required, consent_exemption)
SELECT %(tenant)s, 'c' || n, 'broadcast', 'hello', false, 'generated' FROM generate_series(1, %(campaigns)s) n;

-- name: campaign_list
-- Configuration.
INSERT INTO campaign_list (tenant_id, campaign_id, name) SELECT tenant_id, campaign_id, 'l' FROM campaign WHERE tenant_id = %(tenant)s;

-- name: lead
-- A hundred of each campaign: that each is dialled often changes nothing for the report.
INSERT INTO lead (tenant_id, campaign_id, list_id, external_id, rank, zone_set_id)
SELECT tenant_id, campaign_id, list_id, n, 1, 0 FROM campaign_list, generate_series(1, 100) n WHERE tenant_id = %(tenant)s;

-- name: came
-- n counts calls; day and time of each follow from it: 8 to 20 o'clock, more at noon.
CREATE TEMP TABLE came AS
SELECT n, %(first)s::date + (n %% %(days)s)::integer + interval '8 hours' + interval '12 hours' * (random() + random()) / 2 AS at,
       random() AS luck, 20000 + (random() * random() * 900000)::integer AS talk_ms, (random() * random() * 240000)::integer AS wait_ms
FROM generate_series(1, %(calls)s) n;

-- name: calls
-- Facts.
INSERT INTO report_call
SELECT %(tenant)s, gen_random_uuid(), at, CASE WHEN luck < 0.6 THEN 'gateway' ELSE 'account' END, 'u' || n %% 300,
       1 + n %% %(gateways)s, NULL, '', false, 1, luck < 0.8, true, CASE WHEN luck < 0.8 THEN 4000 ELSE 0 END, 3000,
       CASE WHEN luck < 0.8 THEN talk_ms ELSE 0 END, CASE WHEN luck < 0.8 THEN 200 WHEN luck < 0.9 THEN 486 ELSE 487 END,
       CASE WHEN luck < 0.8 THEN 'normal' WHEN luck < 0.9 THEN 'busy' ELSE 'cancelled' END,
       CASE WHEN n %% 2 = 0 THEN 'caller' ELSE 'callee' END
FROM came;

-- name: gateway_calls
-- Facts.
INSERT INTO report_gateway_call
SELECT %(tenant)s, gen_random_uuid(), 1, 1 + n %% %(gateways)s, at, luck < 0.6, luck < 0.8, false,
       CASE WHEN luck < 0.8 THEN 200 WHEN luck < 0.9 THEN 486 ELSE 503 END, 2000, CASE WHEN luck < 0.8 THEN talk_ms ELSE 0 END
FROM came;

-- name: entries
-- Facts.
INSERT INTO report_entry
SELECT %(tenant)s, n, n, n, 1 + n %% %(queues)s, CASE WHEN luck < 0.02 THEN 'callback'::entry_kind ELSE 'call' END, NULL,
       '+7' || (random() * 9e9)::bigint, at, at, 20, 5, 1, CASE WHEN luck < 0.8 THEN at + wait_ms * interval '1 ms' END,
       CASE WHEN luck < 0.8 THEN 1 + n %% %(agents)s END, CASE WHEN luck < 0.8 THEN talk_ms ELSE 0 END, 0, 10000, 0, NULL, NULL,
       at + (wait_ms + talk_ms) * interval '1 ms', CASE WHEN luck < 0.8 THEN 'served' WHEN luck < 0.95 THEN 'abandoned' ELSE 'timeout' END,
       'caller', CASE WHEN luck < 0.4 THEN 'agent' WHEN luck < 0.8 THEN 'caller' END, NULL, CASE WHEN luck < 0.1 THEN 5 END
FROM came;

-- name: attempts
-- Facts.
INSERT INTO report_attempt
SELECT %(tenant)s, n, n, n, n, 1 + n %% %(queues)s, 1 + n %% %(agents)s, NULL, '', at + wait_ms * interval '1 ms', 'longest_idle', false,
       wait_ms, CASE WHEN luck < 0.8 THEN at END, CASE WHEN luck < 0.8 THEN at END, at,
       CASE WHEN luck < 0.8 THEN 'answered' WHEN luck < 0.9 THEN 'no_answer' ELSE 'rejected' END::offer_outcome, NULL, '', 'caller',
       5000, CASE WHEN luck < 0.8 THEN talk_ms ELSE 0 END, 0, 10000
FROM came;

-- name: dials
-- Attempts of campaigns are facts already.
INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, state, outcome, ordered_at, expires_at,
                     taken_at, answered_at, ended_at, settled_at)
SELECT %(tenant)s, l.campaign_id, l.lead_id, 1, gen_random_uuid(), '74951234567', 'settled',
       (CASE WHEN luck < 0.4 THEN 'answered' WHEN luck < 0.5 THEN 'machine' WHEN luck < 0.7 THEN 'busy' ELSE 'no_answer' END)::attempt_outcome,
       at, at, at, CASE WHEN luck < 0.5 THEN at + interval '9 s' END, at + interval '60 s', at + interval '61 s'
FROM came JOIN (SELECT campaign_id, lead_id, row_number() OVER () - 1 AS place, count(*) OVER () AS many FROM lead) l ON l.place = n %% l.many;

-- name: states
-- Facts.
INSERT INTO report_agent_state
SELECT %(tenant)s, agent, day * 1000 + n, (ARRAY['free', 'ringing', 'busy', 'wrapup', 'paused'])[1 + n %% 5]::agent_state,
       CASE n %% 5 WHEN 2 THEN 'queue' WHEN 4 THEN 'lunch' ELSE '' END, start + n * interval '5 minutes', start + (n + 1) * interval '5 minutes'
FROM generate_series(1, %(agents)s) agent, generate_series(0, %(days)s - 1) day, generate_series(0, 143) n,
     LATERAL (SELECT %(first)s::date + day + interval '8 hours' AS start) s;

-- name: queue_slots
-- Sums, by the schema's own function.
INSERT INTO report_queue_slot
SELECT * FROM report_queue_numbers(%(tenant)s, ARRAY(SELECT queue_id FROM queue), %(first)s::date, %(first)s::date + %(days)s);

-- name: agent_slots
-- Sums, by the schema's own function.
INSERT INTO report_agent_slot
SELECT s.* FROM agent g CROSS JOIN LATERAL report_agent_numbers(%(tenant)s, g.agent_id, %(first)s::date, %(first)s::date + %(days)s) s;

-- name: state_slots
-- Sums, by the schema's own function.
INSERT INTO report_state_slot
SELECT tenant_id, agent_id, report_slot(started_at), state, reason, count(*), sum(report_between(started_at, ended_at))
FROM report_agent_state GROUP BY 1, 2, 3, 4, 5;

-- name: call_slots
-- Sums, by the schema's own function.
INSERT INTO report_call_slot SELECT * FROM report_call_numbers(%(tenant)s, %(first)s::date, %(first)s::date + %(days)s);

-- name: gateway_slots
-- Sums, by the schema's own function.
INSERT INTO report_gateway_slot
SELECT s.* FROM gateway g CROSS JOIN LATERAL report_gateway_numbers(%(tenant)s, g.gateway_id, %(first)s::date, %(first)s::date + %(days)s) s;

-- name: events
-- Eight events a call, as a queue journals one that is answered.
INSERT INTO acd_event (at, tenant_id, kind, queue_id, entry_id, offer_id, agent_id, call_id, data)
SELECT now() - interval '1 day' + n * interval '10 ms' + step * interval '1 ms', %(tenant)s, kind, 1, n,
       CASE WHEN kind <> 'entry.enter' THEN n END, CASE WHEN kind <> 'entry.enter' THEN 1 + n %% %(agents)s END, NULL,
       CASE kind
           WHEN 'entry.enter' THEN '{"caller": "+74951234567", "service_level_seconds": 20, "short_abandon_seconds": 5}'::jsonb
           WHEN 'agent.state' THEN jsonb_build_object('from', 'free', 'to', CASE WHEN step = 2 THEN 'ringing' WHEN step = 4 THEN 'busy' ELSE 'free' END,
                                                      'was', '', 'reason', CASE WHEN step = 4 THEN 'queue' ELSE '' END, 'seconds', 1)
           WHEN 'offer.end' THEN '{"outcome": "answered", "ring_seconds": 3, "talk_seconds": 60, "hold_seconds": 0, "by": "caller"}'
           WHEN 'entry.end' THEN '{"reason": "served", "by": "caller"}'
           ELSE '{}' END
FROM generate_series(1, %(entries)s) n,
     (VALUES (1, 'entry.enter'), (2, 'agent.state'), (3, 'offer.make'), (4, 'agent.state'), (5, 'offer.join'), (6, 'agent.state'),
             (7, 'offer.end'), (8, 'entry.end')) AS steps (step, kind)
ORDER BY n, step;
