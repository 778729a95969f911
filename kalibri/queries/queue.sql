-- Queues: configuration, members, skills that they ask for.

-- name: list_queues
-- Queues with all their rules and how they stand; filters that are null let everything through.
SELECT q.tenant_id, t.name AS tenant, q.queue_id, q.name,
       q.enabled, q.strategy, q.anchor, q.priority, q.ageing_seconds, q.tier_waits, q.ring_seconds,
       q.ring_all_limit, q.retry_seconds, q.wrapup_seconds, q.max_size, q.max_wait_seconds, q.join_when,
       q.stay_when, s.name AS schedule, q.sticky_seconds, q.sticky_days, q.reject_exclusion_seconds,
       q.no_answer_delay_seconds, q.no_answer_limit, q.reject_delay_seconds, q.reject_limit,
       q.busy_delay_seconds, q.busy_limit, q.unreachable_delay_seconds, q.unreachable_limit, q.overflow,
       q.media, q.record, q.transferable, q.supervised, q.grace_seconds, q.service_level_seconds,
       q.service_level_percent, q.short_abandon_seconds, q.callback_enabled, q.callback_first,
       q.callback_attempts, q.callback_retry_seconds, q.callback_ring_seconds, q.callback_expires_seconds,
       cs.name AS callback_schedule, q.callback_caller_id,
       q.anchored, l.is_open, l.members, l.handle_seconds,
       (SELECT count(*) FROM queue_entry e WHERE e.queue_id = q.queue_id AND e.state = 'waiting') AS waiting,
       (SELECT count(*) FROM ready_agent r WHERE r.queue_id = q.queue_id) AS ready
FROM queue q
JOIN tenant t USING (tenant_id)
JOIN queue_live l USING (tenant_id, queue_id)
LEFT JOIN schedule s ON s.tenant_id = q.tenant_id AND s.schedule_id = q.schedule_id
LEFT JOIN schedule cs ON cs.tenant_id = q.tenant_id AND cs.schedule_id = q.callback_schedule_id
WHERE (%(tenant_id)s::integer IS NULL OR q.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR q.name = %(name)s)
ORDER BY t.name, q.name;

-- name: lock_domain
-- Nothing is matched in the tenant until the transaction ends.
SELECT acd_begin(%(tenant_id)s);

-- name: queue_exists
-- Whether a tenant has a queue of this name.
SELECT EXISTS (SELECT FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(name)s);

-- name: add_queue
-- A new queue with the rules of the table's defaults.
INSERT INTO queue (tenant_id, name) VALUES (%(tenant_id)s, %(name)s);

-- name: set_queue
-- Every rule of a queue.
UPDATE queue
SET enabled = %(enabled)s, strategy = %(strategy)s, anchor = %(anchor)s, priority = %(priority)s,
    ageing_seconds = %(ageing_seconds)s, tier_waits = %(tier_waits)s, ring_seconds = %(ring_seconds)s,
    ring_all_limit = %(ring_all_limit)s, retry_seconds = %(retry_seconds)s,
    wrapup_seconds = %(wrapup_seconds)s, max_size = %(max_size)s, max_wait_seconds = %(max_wait_seconds)s,
    join_when = %(join_when)s, stay_when = %(stay_when)s,
    schedule_id = (SELECT schedule_id FROM schedule WHERE tenant_id = %(tenant_id)s AND name = %(schedule)s),
    sticky_seconds = %(sticky_seconds)s, sticky_days = %(sticky_days)s,
    reject_exclusion_seconds = %(reject_exclusion_seconds)s,
    no_answer_delay_seconds = %(no_answer_delay_seconds)s, no_answer_limit = %(no_answer_limit)s,
    reject_delay_seconds = %(reject_delay_seconds)s, reject_limit = %(reject_limit)s,
    busy_delay_seconds = %(busy_delay_seconds)s, busy_limit = %(busy_limit)s,
    unreachable_delay_seconds = %(unreachable_delay_seconds)s, unreachable_limit = %(unreachable_limit)s,
    overflow = %(overflow)s, media = %(media)s, record = %(record)s, transferable = %(transferable)s,
    supervised = %(supervised)s, grace_seconds = %(grace_seconds)s,
    service_level_seconds = %(service_level_seconds)s, service_level_percent = %(service_level_percent)s,
    short_abandon_seconds = %(short_abandon_seconds)s, callback_enabled = %(callback_enabled)s,
    callback_first = %(callback_first)s, callback_attempts = %(callback_attempts)s,
    callback_retry_seconds = %(callback_retry_seconds)s, callback_ring_seconds = %(callback_ring_seconds)s,
    callback_expires_seconds = %(callback_expires_seconds)s,
    callback_schedule_id = (SELECT schedule_id FROM schedule WHERE tenant_id = %(tenant_id)s AND name = %(callback_schedule)s),
    callback_caller_id = %(callback_caller_id)s
WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s;

-- name: queue_changed
-- Tells call distribution that the configuration of a queue changed.
SELECT acd_queue_changed(%(tenant_id)s, %(queue_id)s);

-- name: live_entries
-- Entries of a queue that have not ended.
SELECT count(*) FROM queue_entry WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND state <> 'ended';

-- name: remove_queue
-- A queue that nobody is in; history keeps its id.
DELETE FROM queue WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s;

-- name: members
-- Agents of a queue in the order in which they would be chosen before the strategy decides.
SELECT a.name AS agent, a.display_name, m.tier, m.penalty, m.position, l.state, l.state_reason,
       extract(epoch FROM clock_timestamp() - l.state_at)::float8 AS state_seconds, r.agent_id IS NOT NULL AS ready
FROM queue_member m
JOIN agent a USING (tenant_id, agent_id)
JOIN agent_live l USING (tenant_id, agent_id)
LEFT JOIN ready_agent r USING (tenant_id, agent_id, queue_id)
WHERE m.tenant_id = %(tenant_id)s AND m.queue_id = %(queue_id)s
ORDER BY m.tier, m.penalty, m.position, a.name;

-- name: set_member
-- Puts an agent into a queue, or changes his place in it.
INSERT INTO queue_member (tenant_id, queue_id, agent_id, tier, penalty, position)
VALUES (%(tenant_id)s, %(queue_id)s, %(agent_id)s, %(tier)s, %(penalty)s, %(position)s)
ON CONFLICT (tenant_id, queue_id, agent_id) DO UPDATE
SET tier = excluded.tier, penalty = excluded.penalty, position = excluded.position;

-- name: remove_member
-- Takes an agent out of a queue.
DELETE FROM queue_member WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND agent_id = %(agent_id)s;

-- name: queue_skills
-- What a queue asks for, step by step.
SELECT s.name AS skill, k.after_seconds, k.level
FROM queue_skill k JOIN skill s USING (tenant_id, skill_id)
WHERE k.tenant_id = %(tenant_id)s AND k.queue_id = %(queue_id)s
ORDER BY s.name, k.after_seconds;

-- name: set_queue_skill
-- Asks for a skill from a time of waiting on.
INSERT INTO queue_skill (tenant_id, queue_id, skill_id, after_seconds, level)
VALUES (%(tenant_id)s, %(queue_id)s, %(skill_id)s, %(after_seconds)s, %(level)s)
ON CONFLICT (tenant_id, queue_id, skill_id, after_seconds) DO UPDATE SET level = excluded.level;

-- name: remove_queue_skill
-- Asks for a skill no more; one step of it if a time is given.
DELETE FROM queue_skill
WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND skill_id = %(skill_id)s
  AND (%(after_seconds)s::integer IS NULL OR after_seconds = %(after_seconds)s);
