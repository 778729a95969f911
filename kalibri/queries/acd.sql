-- What ks-acd does.

-- name: lead
-- Become the leader: one of all ks-acd; the lock goes with the session.
SELECT pg_try_advisory_lock(hashtext('acd leader'));

-- name: next_deadline
-- Seconds until something is due.
SELECT acd_next_deadline();

-- name: due
-- Tenants with something due.
SELECT tenant_id FROM acd_due() AS tenant_id ORDER BY tenant_id;

-- name: tick
-- Does what is due in one tenant.
SELECT acd_tick(%(tenant_id)s);

-- name: silent_hosts
-- Media hosts that hold calls and do not report.
SELECT name FROM acd_silent_hosts() AS name;

-- name: lose_host
-- Everything that a host held is lost.
SELECT acd_lose_host(%(host)s, 'no heartbeat of the host for 5 s');

-- name: check_proxies
-- Dialogs of proxies that are gone.
SELECT acd_check_proxies();

-- name: check_registrations
-- Registered phones of agents.
SELECT acd_check_registrations();

-- name: legs_sync
-- Dialogs that a proxy really has.
SELECT acd_legs_sync(%(proxy)s, %(legs)s::jsonb, %(known)s::text[]);

-- name: dead_hosts
-- Which of these media hosts give no sign of life, or are not known any more.
SELECT name
FROM unnest(%(hosts)s::text[]) AS host (name) LEFT JOIN node USING (name)
WHERE coalesce(heartbeat_at, '-infinity') < clock_timestamp() - interval '5 s'
ORDER BY name;

-- name: proxy_commands
-- What was decided about calls for which a proxy rings agents itself; `leave` waits until the proxy asks.
SELECT command_id, kind, offer_id, data ->> 'reason' AS reason
FROM host_command
WHERE host = %(proxy)s AND taken_at IS NULL AND kind <> 'leave'
ORDER BY command_id
LIMIT 200;

-- name: proxy_commands_done
-- The phones were told.
UPDATE host_command SET taken_at = clock_timestamp(), done_at = clock_timestamp()
WHERE command_id = ANY (%(commands)s) AND taken_at IS NULL;

-- name: schedules
-- Opening hours of queues that have some, and what is in force.
SELECT q.tenant_id, q.queue_id, l.is_open, l.callback_open, to_jsonb(s) AS hours, to_jsonb(c) AS callback_hours
FROM queue q
JOIN queue_live l USING (tenant_id, queue_id)
LEFT JOIN schedule s ON s.tenant_id = q.tenant_id AND s.schedule_id = q.schedule_id
LEFT JOIN schedule c ON c.tenant_id = q.tenant_id AND c.schedule_id = q.callback_schedule_id
WHERE q.schedule_id IS NOT NULL OR q.callback_schedule_id IS NOT NULL OR NOT (l.is_open AND l.callback_open);

-- name: set_open
-- Opening hours of a queue begin or end.
SELECT acd_set_open(%(tenant_id)s, %(queue_id)s, %(is_open)s, %(callback_open)s);

-- name: ensure_partition
-- The partition of one day of events.
SELECT acd_ensure_partition(%(day)s);

-- name: sweep
-- Forgets commands that are long done.
SELECT acd_sweep();

-- name: replay
-- Enters what hosts could only write into their journals while the database was away; each line once.
SELECT coalesce(acd_replay(jsonb_agg(jsonb_build_object(
           'event_id', e.event_id, 'kind', substr(e.kind, 5), 'at', e.at, 'tenant', e.tenant_id, 'call', e.call_id,
           'queue', e.data -> 'queue', 'caller', e.data -> 'caller', 'reason', e.data -> 'reason',
           'holder', e.data -> 'holder'))), 0)
FROM call_event e
WHERE e.kind IN ('acd.enter', 'acd.end')
  AND e.at > clock_timestamp() - make_interval(hours => %(hours)s)
  AND NOT EXISTS (SELECT FROM acd_replayed r WHERE r.event_id = e.event_id);
