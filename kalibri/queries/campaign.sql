-- Campaigns: configuration, caller ids, admission, how they stand, why they are idle.

-- name: list_campaigns
-- Campaigns with all their rules; filters that are null let everything through.
SELECT c.tenant_id, t.name AS tenant, c.campaign_id, c.name, c.mode, c.state, c.state_at, c.state_by, q.name AS queue,
       c.prompt, c.machine_prompt, c.abandon_prompt, c.language, c.keys, c.priority, c.weight, c.lines,
       c.calls_per_second::float8 AS calls_per_second, c.hours, c.holidays, c.on_holidays, c.unknown_zones,
       c.retry_table, c.max_attempts, c.ring_seconds, c.agent_ring_seconds, c.reading_seconds, c.wrapup_seconds,
       c.max_call_seconds, c.load_limit::float8 AS load_limit, c.load_resume::float8 AS load_resume, c.gateway,
       c.purpose, c.contract, c.consent_required, c.consent_exemption,
       c.abandon_cap_percent::float8 AS abandon_cap_percent, c.abandon_seconds, c.pacing, c.detect_machines,
       c.machine_action, c.record, c.keep_running, c.note, c.preview_seconds, c.preview_action, c.preview_again_seconds, c.created_at
FROM campaign c
JOIN tenant t USING (tenant_id)
LEFT JOIN queue q ON q.tenant_id = c.tenant_id AND q.queue_id = c.queue_id
WHERE (%(tenant_id)s::integer IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR c.name = %(name)s)
ORDER BY t.name, c.name;

-- name: add_campaign
-- A new campaign; everything that is not named has the table's default.
INSERT INTO campaign (tenant_id, name, mode, queue_id, prompt)
VALUES (%(tenant_id)s, %(name)s, %(mode)s,
        (SELECT queue_id FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(queue)s), %(prompt)s);

-- name: lock_campaign
-- Nobody else changes the campaign until the transaction ends.
SELECT campaign_id FROM campaign WHERE tenant_id = %(tenant_id)s AND name = %(name)s FOR NO KEY UPDATE;

-- name: set_campaign
-- Every rule of a campaign.
UPDATE campaign
SET mode = %(mode)s,
    queue_id = (SELECT queue_id FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(queue)s),
    prompt = %(prompt)s, machine_prompt = %(machine_prompt)s, abandon_prompt = %(abandon_prompt)s,
    language = %(language)s, keys = %(keys)s, priority = %(priority)s, weight = %(weight)s, lines = %(lines)s,
    calls_per_second = %(calls_per_second)s, hours = %(hours)s, holidays = %(holidays)s,
    on_holidays = %(on_holidays)s, unknown_zones = %(unknown_zones)s, retry_table = %(retry_table)s,
    max_attempts = %(max_attempts)s, ring_seconds = %(ring_seconds)s,
    agent_ring_seconds = %(agent_ring_seconds)s, reading_seconds = %(reading_seconds)s,
    wrapup_seconds = %(wrapup_seconds)s, max_call_seconds = %(max_call_seconds)s, load_limit = %(load_limit)s,
    load_resume = %(load_resume)s, gateway = %(gateway)s, purpose = %(purpose)s, contract = %(contract)s,
    consent_required = (%(consent_exemption)s = ''), consent_exemption = %(consent_exemption)s,
    abandon_cap_percent = %(abandon_cap_percent)s, abandon_seconds = %(abandon_seconds)s, pacing = %(pacing)s,
    detect_machines = %(detect_machines)s, machine_action = %(machine_action)s, record = %(record)s,
    keep_running = %(keep_running)s, note = %(note)s, preview_seconds = %(preview_seconds)s,
    preview_action = %(preview_action)s, preview_again_seconds = %(preview_again_seconds)s
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s;

-- name: remove_campaign
-- A campaign that has no lead.
DELETE FROM campaign WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s;

-- name: remove_lists
-- Lists of a campaign that is to be removed; fails while they have leads.
DELETE FROM campaign_list WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s;

-- name: step
-- Takes a campaign a step further; null: its state does not allow it.
SELECT campaign_step(%(tenant_id)s, %(campaign_id)s, %(step)s, %(by)s);

-- name: queue_exists
-- Whether a tenant has a queue of this name.
SELECT EXISTS (SELECT FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(name)s);

-- name: missing_prompts
-- Of these prompts those that neither the tenant nor the system has.
SELECT coalesce(array_agg(name ORDER BY name), '{}')
FROM unnest(%(names)s::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM prompt p WHERE p.tenant_id IN (%(tenant_id)s, 0) AND p.name = wanted.name);

-- name: gateway_exists
-- Whether tenant or system has a gateway or group of this name.
SELECT EXISTS (SELECT FROM gateway WHERE tenant_id IN (%(tenant_id)s, 0) AND name = %(name)s)
    OR EXISTS (SELECT FROM gateway_group WHERE tenant_id IN (%(tenant_id)s, 0) AND name = %(name)s);

-- name: list_caller_ids
-- The pool of a campaign with today's calls of each number.
SELECT i.number, i.region, i.daily_cap, coalesce(u.calls, 0) AS used_today
FROM campaign_caller_id i
LEFT JOIN caller_id_use u ON u.tenant_id = i.tenant_id AND u.number = i.number AND u.day = tenant_day(i.tenant_id)
WHERE i.tenant_id = %(tenant_id)s AND i.campaign_id = %(campaign_id)s
ORDER BY i.region, i.number;

-- name: set_caller_id
-- Puts a number into the pool, or changes its cap.
INSERT INTO campaign_caller_id (tenant_id, campaign_id, number, region, daily_cap)
VALUES (%(tenant_id)s, %(campaign_id)s, %(number)s, %(region)s, %(daily_cap)s)
ON CONFLICT (tenant_id, campaign_id, number, region) DO UPDATE SET daily_cap = excluded.daily_cap;

-- name: remove_caller_id
-- Takes a number out of the pool; region null: for every region.
DELETE FROM campaign_caller_id
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND number = %(number)s
  AND (%(region)s::text IS NULL OR region = %(region)s);

-- name: take_caller_id
-- Counts a call of today for a caller id; false: its cap is reached.
SELECT caller_id_take(%(tenant_id)s, %(number)s, %(cap)s);

-- name: list_admission
-- When leads of each priority may take an agent.
SELECT priority, max_queue_percent, min_free_agents, preempts
FROM campaign_admission
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s
ORDER BY priority;

-- name: set_admission
-- Changes when leads of a priority may take an agent.
UPDATE campaign_admission
SET max_queue_percent = %(max_queue_percent)s, min_free_agents = %(min_free_agents)s, preempts = %(preempts)s
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND priority = %(priority)s;

-- name: zone_sets
-- Every set of zones in which a number may be.
SELECT zone_set_id, zones FROM zone_set ORDER BY zone_set_id;

-- name: lead_counts
-- Leads by state and result, with their charged and uncharged attempts.
SELECT state, result, count(*) AS leads, sum(attempts)::bigint AS attempts, sum(uncharged)::bigint AS uncharged
FROM lead
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s
  AND (%(list_id)s::integer IS NULL OR list_id = %(list_id)s)
GROUP BY state, result
ORDER BY state, result;

-- name: outcome_counts
-- How the last attempt of leads ended.
SELECT last_outcome AS outcome, state, count(*) AS leads
FROM lead
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s
  AND (%(list_id)s::integer IS NULL OR list_id = %(list_id)s) AND last_outcome <> ''
GROUP BY last_outcome, state
ORDER BY count(*) DESC, last_outcome, state;

-- name: zone_counts
-- Leads that wait, by the zones in which their next number may be.
SELECT z.zone_set_id, z.zones, count(*) AS waiting, count(*) FILTER (WHERE l.due_at <= %(now)s) AS due
FROM lead l
JOIN zone_set z USING (zone_set_id)
WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s AND l.state = 'waiting'
GROUP BY z.zone_set_id, z.zones
ORDER BY count(*) DESC, z.zone_set_id;

-- name: list_counts
-- Lists of a campaign with their leads.
SELECT l.list_id, l.name, l.source, l.imported_at, count(lead_id) AS leads,
       count(lead_id) FILTER (WHERE state = 'waiting') AS waiting, count(lead_id) FILTER (WHERE state = 'done') AS done
FROM campaign_list l
LEFT JOIN lead USING (tenant_id, list_id)
WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s
GROUP BY l.tenant_id, l.list_id
ORDER BY l.name;

-- name: outlook
-- Why there is, or is not, a lead to dial.
SELECT due_open, due_closed, due_unknown, next_due_at, dialling
FROM lead_outlook(%(campaign_id)s, %(open_sets)s, %(now)s);

-- name: holds
-- Seconds in which each constraint bound within a time, with the last detail of each.
SELECT reason, sum(extract(epoch FROM least(until, %(until)s) - greatest(since, %(since)s)) + 1)::float8 AS seconds,
       (array_agg(detail ORDER BY since DESC))[1] AS detail, max(until) AS last_at
FROM campaign_hold
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND until >= %(since)s AND since <= %(until)s
GROUP BY reason
ORDER BY 2 DESC;

-- name: hold_seconds
-- Which constraint bound when, the newest first.
SELECT since, until, extract(epoch FROM until - since)::float8 + 1 AS seconds, reason, detail
FROM campaign_hold
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND until >= %(since)s AND since <= %(until)s
ORDER BY since DESC
LIMIT %(limit)s;

-- name: note
-- Notes which constraint binds a campaign in this second.
SELECT campaign_note(%(tenant_id)s, %(campaign_id)s, %(at)s, %(reason)s, %(detail)s);

-- name: attempt_counts
-- Attempts of a time by outcome (null: not over), with their mean ringing and talk.
SELECT coalesce(a.outcome::text, 'open') AS outcome, count(*) AS attempts,
       count(a.answered_at) AS answered,
       avg(extract(epoch FROM coalesce(a.answered_at, a.ended_at) - a.taken_at))::float8 AS ring_seconds,
       avg(extract(epoch FROM a.ended_at - a.answered_at))::float8 AS talk_seconds
FROM attempt a
JOIN lead l USING (tenant_id, lead_id)
WHERE a.tenant_id = %(tenant_id)s AND a.campaign_id = %(campaign_id)s
  AND (%(list_id)s::integer IS NULL OR l.list_id = %(list_id)s)
  AND a.ordered_at >= %(since)s AND a.ordered_at <= %(until)s
GROUP BY a.outcome
ORDER BY count(*) DESC, 1;

-- name: attempts
-- Attempts of a campaign page by page, in the order in which they were made.
SELECT a.attempt_id, l.external_id AS lead, a.position, a.number, a.caller_id, a.state, a.outcome, a.ordered_at, a.taken_at,
       a.answered_at, a.ended_at, a.host, a.call_id, (a.facts ->> 'code')::integer AS code,
       (a.facts ->> 'cause')::integer AS cause, coalesce(a.facts ->> 'verdict', '') AS verdict
FROM attempt a
JOIN lead l USING (tenant_id, lead_id)
WHERE a.tenant_id = %(tenant_id)s AND a.campaign_id = %(campaign_id)s AND a.attempt_id > %(after)s
  AND (%(lead_id)s::bigint IS NULL OR a.lead_id = %(lead_id)s)
ORDER BY a.attempt_id
LIMIT %(limit)s;
