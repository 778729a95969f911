-- What the campaign engine (ks-dial) does. docs/dialler.md explains.

-- name: lead
-- Become the leader: one of all ks-dial; the lock goes with the session.
SELECT pg_try_advisory_lock(hashtext('dial leader'));

-- name: running
-- Campaigns that run, with what their calls use of the limits.
SELECT c.tenant_id, c.campaign_id, c.name, c.mode::text, c.queue_id, c.priority, c.weight, c.lines,
       c.calls_per_second::double precision, c.load_limit::double precision, c.load_resume::double precision, c.gateway,
       c.abandon_cap_percent::double precision, c.pacing, c.keep_running, t.max_calls, coalesce(o.open, 0)::integer AS open, coalesce(o.ordered, 0)::integer AS ordered,
       coalesce(o.queued, 0)::integer AS queued
FROM campaign c
JOIN tenant t USING (tenant_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS open, count(*) FILTER (WHERE a.state = 'ordered') AS ordered,
           count(*) FILTER (WHERE a.state = 'ordered' AND (a.entry_id IS NULL OR e.state = 'waiting')) AS queued
    FROM attempt a LEFT JOIN queue_entry e ON e.tenant_id = a.tenant_id AND e.entry_id = a.entry_id
    WHERE a.campaign_id = c.campaign_id AND a.state IN ('ordered', 'taken', 'answered')) o ON true
WHERE c.state = 'running' AND t.enabled
ORDER BY c.campaign_id;

-- name: hosts
-- Media hosts that live, and the calls that campaigns may still give them.
SELECT count(*)::integer AS hosts,
       coalesce(sum(greatest(0, 0.9 * (n.data ->> 'capacity')::integer - (n.data ->> 'calls')::integer)), 0)::integer AS room
FROM node n
WHERE n.kind = 'media' AND n.enabled AND NOT n.draining AND n.heartbeat_at > clock_timestamp() - interval '5 s'
  AND NOT coalesce((n.data ->> 'draining')::boolean, false);

-- name: take
-- Leads to be dialled now, with the number whose turn it is.
SELECT l.lead_id, l.position, n.number, n.region, l.caller_id, l.due_at
FROM lead_take(%(tenant_id)s, %(campaign_id)s, %(sets)s::integer[], %(most)s) l
JOIN lead_number n ON n.tenant_id = l.tenant_id AND n.lead_id = l.lead_id AND n.position = l.position;

-- name: take_for_agents
-- Leads whose turn it is, with their priority.
SELECT l.lead_id, l.position, n.number, n.region, l.caller_id, l.due_at, l.priority
FROM lead_take(%(tenant_id)s, %(campaign_id)s, %(sets)s::integer[], %(most)s) l
JOIN lead_number n ON n.tenant_id = l.tenant_id AND n.lead_id = l.lead_id AND n.position = l.position;

-- name: order_agents
-- Puts them into the queue, for an agent to be called first.
SELECT dial_order_agents(%(tenant_id)s, %(campaign_id)s, %(orders)s::jsonb);

-- name: withdraw
-- Takes tasks out of their queues that must not be dialled any more, or that no agent at work wants.
SELECT dial_withdraw();

-- name: withdraw_closed
-- Takes tasks out of their queues whose people are in zones that are closed now.
SELECT dial_withdraw_closed(%(tenant_id)s, %(campaign_id)s, %(sets)s::integer[]);

-- name: order
-- Orders their dials from the media hosts.
SELECT dial_order(%(tenant_id)s, %(campaign_id)s, %(orders)s::jsonb);

-- name: pool
-- Caller ids of a campaign.
SELECT number, region, daily_cap FROM campaign_caller_id WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s ORDER BY number, region;

-- name: used_today
-- Calls of today with each caller id of a campaign.
SELECT u.number, u.calls FROM caller_id_use u
WHERE u.tenant_id = %(tenant_id)s AND u.day = tenant_day(%(tenant_id)s)
  AND u.number IN (SELECT p.number FROM campaign_caller_id p WHERE p.tenant_id = %(tenant_id)s AND p.campaign_id = %(campaign_id)s);

-- name: take_caller_id
-- Counts a call with a caller id; false: it has made as many as it may.
SELECT caller_id_take(%(tenant_id)s, %(number)s, %(cap)s);

-- name: keep_caller_id
-- A lead sees one caller id for ever.
UPDATE lead SET caller_id = %(number)s WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s AND caller_id IS DISTINCT FROM %(number)s;

-- name: put_back
-- A lead that could not be ordered waits as it did.
SELECT lead_turn(%(tenant_id)s, %(lead_id)s, %(position)s, %(due_at)s, NULL);

-- name: agents
-- Agents at work in a queue: idle, or for how long they talk or will still write.
SELECT a.state = 'free' AND a.ready AS is_idle, greatest(0, extract(epoch FROM clock_timestamp() - a.state_at))::double precision AS age_seconds,
       CASE WHEN a.state = 'wrapup' THEN greatest(0, extract(epoch FROM a.wrapup_until - clock_timestamp())) END::double precision AS wrapup_left
FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
WHERE m.tenant_id = %(tenant_id)s AND m.queue_id = %(queue_id)s AND a.enabled AND a.state NOT IN ('offline', 'paused')
  AND (a.state <> 'free' OR a.ready);

-- name: waiting
-- Callers of a queue for whom there is no agent yet.
SELECT count(*) FROM queue_entry WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND state = 'waiting' AND kind = 'call';

-- name: dials
-- Open dials of a campaign.
SELECT a.attempt_id, a.state = 'answered' AS answered,
       greatest(0, extract(epoch FROM coalesce(a.answered_at, clock_timestamp()) - coalesce(a.taken_at, clock_timestamp())))::double precision AS ring_seconds,
       EXISTS (SELECT FROM queue_entry e WHERE e.tenant_id = a.tenant_id AND e.call_id = a.call_id) AS queued
FROM attempt a
WHERE a.campaign_id = %(campaign_id)s AND a.state IN ('ordered', 'taken', 'answered');

-- name: counted
-- Answers of a campaign so far, and how many of them found no agent.
SELECT coalesce(sum(attempts) FILTER (WHERE outcome IN ('answered', 'unheard', 'abandoned', 'opted_out')), 0)::integer AS answers,
       coalesce(sum(attempts) FILTER (WHERE outcome = 'abandoned'), 0)::integer AS abandoned
FROM campaign_count WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s;

-- name: ended
-- Attempts whose leads do not know of their end yet.
SELECT tenant_id, attempt_id, campaign_id, lead_id, position, outcome, facts,
       coalesce(extract(epoch FROM coalesce(answered_at, ended_at) - taken_at), 0)::double precision AS ring_seconds,
       extract(epoch FROM ended_at - answered_at)::double precision AS talk_seconds
FROM attempt
WHERE state = 'ended' ORDER BY attempt_id LIMIT %(most)s FOR UPDATE SKIP LOCKED;

-- name: settled
-- Closes and counts an attempt.
SELECT dial_settled(%(tenant_id)s, %(attempt_id)s, %(outcome)s::attempt_outcome);

-- name: expire
-- Withdraws orders that nobody took; with leases, ends dials whose host is silent.
SELECT dial_expire(%(leases)s);

-- name: note
-- What binds a campaign in this second.
SELECT campaign_note(%(tenant_id)s, %(campaign_id)s, %(at)s, %(reason)s::dial_reason, %(detail)s);

-- name: outlook
-- Why no lead of a campaign is due.
SELECT due_open, due_closed, due_unknown, next_due_at, dialling FROM lead_outlook(%(campaign_id)s, %(sets)s::integer[], clock_timestamp());

-- name: finish
-- Nothing is left to do in a campaign.
SELECT campaign_step(%(tenant_id)s, %(campaign_id)s, 'finish', 'ks-dial');

-- name: relaxed
-- This transaction may be lost with a crash of the database: it is simply done again.
SET LOCAL synchronous_commit = off;

-- name: gateway_ends
-- How dials of campaigns went at the gateways that they were sent to, since a time; and those that found every gateway full.
SELECT e.event_id, e.at, a.campaign_id, coalesce(g.gateway_id, 0) AS gateway_id, coalesce(g.name, '') AS name,
       coalesce((e.data ->> 'failed')::boolean, false) AS failed,
       CASE WHEN e.kind = 'leg.end' THEN substring(e.data ->> 'reason' FROM '[(](.*)[)]')
            WHEN e.data ->> 'reason' = 'gateway is full' THEN coalesce(g.name, '') || ' is full' ELSE '' END AS full
FROM call_event e
JOIN attempt a ON a.call_id = e.call_id
LEFT JOIN gateway g ON g.gateway_id = CASE e.kind
    WHEN 'leg.attempt_end' THEN (e.data ->> 'gateway_id')::integer
    WHEN 'leg.answer' THEN (
        SELECT (s.data ->> 'gateway_id')::integer FROM call_event s
        WHERE s.call_id = e.call_id AND s.kind = 'leg.attempt' AND s.data -> 'n' = e.data -> 'n' AND s.data ->> 'gateway_id' IS NOT NULL
          AND s.at BETWEEN e.at - interval '10 minutes' AND e.at LIMIT 1) END
WHERE e.at > %(since)s
  AND (e.kind = 'leg.attempt_end' AND e.data ->> 'reason' NOT IN ('cancelled', 'gateway is full') AND (e.data ->> 'code')::integer > 0 AND e.data ->> 'gateway_id' IS NOT NULL
       -- It filled up on the way, and there was no other one.
       OR e.kind = 'leg.attempt_end' AND e.data ->> 'reason' = 'gateway is full'
          AND NOT EXISTS (SELECT FROM call_event s WHERE s.call_id = e.call_id AND s.kind = 'leg.attempt' AND s.at BETWEEN e.at AND e.at + interval '10 minutes')
       OR e.kind = 'leg.answer'
       OR e.kind = 'leg.end' AND e.data ->> 'reason' LIKE 'no gateway of %%: full: %%')
ORDER BY e.at
LIMIT 5000;
