-- What a media host asks of call distribution (docs/acd.md, section 3). Each is one transaction of its own.

-- name: enter
-- A caller comes to a queue.
SELECT * FROM acd_enter(%(tenant)s::integer, %(queue)s::integer, %(call)s::uuid, %(holder)s::text, true, %(caller)s::text, %(options)s::jsonb)

-- name: answer
-- An agent answered.
SELECT * FROM acd_answer(%(tenant)s::integer, %(offer)s::bigint, %(legs)s::jsonb, %(joined)s::boolean)

-- name: outcome
-- An agent did not take the call.
SELECT * FROM acd_outcome(%(tenant)s::integer, %(offer)s::bigint, %(outcome)s::offer_outcome, %(code)s::integer, %(cause)s::text)

-- name: joined
-- Caller and agent hear each other, after a whisper.
SELECT * FROM acd_joined(%(tenant)s::integer, %(offer)s::bigint)

-- name: finish
-- The conversation with an agent is over.
SELECT * FROM acd_finish(%(tenant)s::integer, %(offer)s::bigint, %(by)s::text, %(cause)s::text, %(next)s::text)

-- name: end
-- The caller is gone, or leaves.
SELECT * FROM acd_end(%(tenant)s::integer, %(entry)s::bigint, %(reason)s::entry_end, %(data)s::jsonb)

-- name: callback
-- The caller wants to be called back.
SELECT * FROM acd_callback(%(tenant)s::integer, %(entry)s::bigint, %(number)s::text)

-- name: dialled
-- How the call back to the caller went.
SELECT * FROM acd_dialled(%(tenant)s::integer, %(entry)s::bigint, %(result)s::text, %(code)s::integer, %(legs)s::jsonb, %(verdict)s::text)

-- name: transfer
-- An agent handed the caller on.
SELECT * FROM acd_transfer(%(tenant)s::integer, %(entry)s::bigint, %(to_kind)s::text, %(target)s::text, %(mode)s::text, %(by)s::text)

-- name: hold
-- A side of a conversation holds the other, or no more.
SELECT * FROM acd_hold(%(tenant)s::integer, %(offer)s::bigint, %(side)s::text, %(on)s::boolean)

-- name: survey
-- The caller's mark.
SELECT * FROM acd_survey(%(tenant)s::integer, %(entry)s::bigint, %(score)s::integer)

-- name: take
-- Commands that wait for this host.
SELECT * FROM acd_take(%(holder)s::text)

-- name: positions
-- Places and expected waits of this host's callers.
SELECT entry_id, position, ewt_seconds FROM acd_positions(%(holder)s::text)

-- name: report
-- Heartbeat with all entries that this host holds.
SELECT * FROM acd_report(%(holder)s::text, %(boot)s::uuid, %(entries)s::bigint[], %(data)s::jsonb)

-- name: find_leg
-- Address of the media host that has a dialog.
SELECT n.address FROM acd_find_leg(%(tenant)s::integer, %(sip_call_id)s::text, %(tag)s::text) l
JOIN node n ON n.name = l.holder AND n.kind = 'media'
LIMIT 1

-- name: done
-- The result of a supervision command.
SELECT acd_done(%(command)s::bigint, %(error)s::text)

-- name: proxies
-- Internal sockets of the proxies, and media hosts (null): nobody else is heard. A proxy that gave no sign for so long is
-- dead (as acd_check_proxies).
SELECT address, CASE kind WHEN 'proxy' THEN coalesce(heartbeat_at > clock_timestamp() - interval '8 s', false) END
FROM node WHERE kind IN ('proxy', 'media') AND enabled

-- name: own_node
-- Whether somebody wants this host to take nothing new.
SELECT draining OR NOT enabled FROM node WHERE name = %(holder)s
