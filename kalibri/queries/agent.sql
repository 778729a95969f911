-- Agents: configuration, state, history.

-- name: list_agents
-- Agents with their state and what they are doing; filters that are null let everything through.
SELECT a.tenant_id, t.name AS tenant, a.agent_id, a.name, a.display_name, c.username AS account, a.number, a.enabled,
       l.state, l.state_reason, l.state_at, extract(epoch FROM clock_timestamp() - l.state_at)::float8 AS state_seconds,
       l.logged_in, l.login_at, l.registered, l.ready, l.pause_reason, l.wrapup_until, l.not_before, l.legs, l.calls,
       l.talk_seconds, o.entry_id, o.call_id, o.caller, oq.name AS offer_queue,
       ARRAY(SELECT q.name FROM queue_member m JOIN queue q USING (tenant_id, queue_id)
             WHERE m.tenant_id = a.tenant_id AND m.agent_id = a.agent_id ORDER BY q.name) AS queues
FROM agent a
JOIN tenant t USING (tenant_id)
JOIN agent_live l USING (tenant_id, agent_id)
LEFT JOIN account c ON c.tenant_id = a.tenant_id AND c.account_id = a.account_id
LEFT JOIN offer o ON o.tenant_id = a.tenant_id AND o.offer_id = l.offer_id
LEFT JOIN queue oq ON oq.tenant_id = o.tenant_id AND oq.queue_id = o.queue_id
WHERE (%(tenant_id)s::integer IS NULL OR a.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR a.name = %(name)s)
  AND (%(state)s::agent_state IS NULL OR l.state = %(state)s)
  AND (%(queue_id)s::integer IS NULL OR EXISTS (
      SELECT FROM queue_member m WHERE m.tenant_id = a.tenant_id AND m.queue_id = %(queue_id)s AND m.agent_id = a.agent_id))
ORDER BY t.name, a.name;

-- name: lock_domain
-- Nothing is matched in the tenant until the transaction ends.
SELECT acd_begin(%(tenant_id)s);

-- name: add_agent
-- A new agent, offline.
INSERT INTO agent (tenant_id, name, display_name, account_id, number)
VALUES (%(tenant_id)s, %(name)s, %(display_name)s,
        (SELECT account_id FROM account WHERE tenant_id = %(tenant_id)s AND username = %(account)s), %(number)s);

-- name: set_agent
-- Everything about an agent that a person configures.
UPDATE agent
SET display_name = %(display_name)s, enabled = %(enabled)s, number = %(number)s,
    account_id = (SELECT account_id FROM account WHERE tenant_id = %(tenant_id)s AND username = %(account)s)
WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s;

-- name: remove_agent
-- An agent who has gone; events and offers keep his id.
DELETE FROM agent WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s;

-- name: agent_changed
-- Tells call distribution that configuration of an agent changed.
SELECT acd_agent_changed(%(tenant_id)s, %(agent_id)s);

-- name: login
-- Begins a shift.
SELECT acd_login(%(tenant_id)s, %(agent_id)s, acd_actor());

-- name: logout
-- Ends a shift.
SELECT acd_logout(%(tenant_id)s, %(agent_id)s, acd_actor());

-- name: pause
-- Pauses, at once or after the call.
SELECT acd_pause(%(tenant_id)s, %(agent_id)s, %(reason)s, acd_actor());

-- name: resume
-- Ends a pause.
SELECT acd_resume(%(tenant_id)s, %(agent_id)s, acd_actor());

-- name: wrapup
-- Sets how long wrap-up lasts from now.
SELECT acd_wrapup(%(tenant_id)s, %(agent_id)s, %(seconds)s, acd_actor());

-- name: free
-- Ends wrap-up, pause and penalties.
SELECT acd_free(%(tenant_id)s, %(agent_id)s, acd_actor());

-- name: release
-- Takes from an agent whatever holds him.
SELECT acd_release(%(tenant_id)s, %(agent_id)s, acd_actor());

-- name: skills
-- Skills of an agent.
SELECT s.name AS skill, a.level
FROM agent_skill a JOIN skill s USING (tenant_id, skill_id)
WHERE a.tenant_id = %(tenant_id)s AND a.agent_id = %(agent_id)s
ORDER BY s.name;

-- name: set_skill
-- Gives an agent a skill, or another level of it.
INSERT INTO agent_skill (tenant_id, agent_id, skill_id, level)
VALUES (%(tenant_id)s, %(agent_id)s, %(skill_id)s, %(level)s)
ON CONFLICT (tenant_id, agent_id, skill_id) DO UPDATE SET level = excluded.level;

-- name: remove_skill
-- Takes a skill from an agent.
DELETE FROM agent_skill WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND skill_id = %(skill_id)s;

-- name: history
-- What an agent did: each state with how long it lasted, newest first. The last state goes on.
SELECT at AS until, at - make_interval(secs => (data ->> 'seconds')::float8) AS since, data ->> 'from' AS state,
       data ->> 'was' AS reason, (data ->> 'seconds')::float8 AS seconds, data ->> 'event' AS ended_by_event,
       data ->> 'by' AS by, coalesce((SELECT paid FROM pause_reason p WHERE p.tenant_id = e.tenant_id AND p.name = e.data ->> 'was'), true) AS paid
FROM acd_event e
WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND kind = 'agent.state'
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
ORDER BY at DESC, seq DESC
LIMIT %(limit)s;
