-- What the proxy asks of call distribution (docs/acd.md 3 and 4). Each is one transaction.

-- name: enter
-- A caller reaches a queue.
SELECT id, tenant_id, kind, entry_id, offer_id, data
FROM acd_enter(%(tenant)s::integer, %(queue)s::integer, %(call)s::uuid, %(holder)s::text, %(anchored)s::boolean,
               %(caller)s::text, %(options)s::jsonb);

-- name: answer
-- The agent whom the proxy rang directly has answered.
SELECT id, tenant_id, kind, entry_id, offer_id, data
FROM acd_answer(%(tenant)s::integer, %(offer)s::bigint, %(legs)s::jsonb);

-- name: outcome
-- The agent whom the proxy rang directly did not answer.
SELECT id, tenant_id, kind, entry_id, offer_id, data
FROM acd_outcome(%(tenant)s::integer, %(offer)s::bigint, %(outcome)s::offer_outcome, %(code)s::integer, %(cause)s::text);

-- name: finish
-- A direct call has ended.
SELECT id, tenant_id, kind, entry_id, offer_id, data
FROM acd_finish(%(tenant)s::integer, %(offer)s::bigint, %(by)s::text, %(cause)s::text);

-- name: end
-- The caller is gone, or no media host could be reached.
SELECT id, tenant_id, kind, entry_id, offer_id, data
FROM acd_end(%(tenant)s::integer, %(entry)s::bigint, %(reason)s::entry_end);

-- name: hosts
-- Living media hosts, least loaded first.
SELECT name, address FROM acd_hosts();

-- name: leg_start
-- The account of an agent begins to ring or calls out.
SELECT acd_leg_start(%(tenant)s::integer, %(account)s::integer, %(proxy)s::text, %(sip_call_id)s::text,
                     %(direction)s::text, %(peer)s::text, %(confirmed)s::boolean);

-- name: leg_end
-- That dialog has ended.
SELECT acd_leg_end(%(tenant)s::integer, %(account)s::integer, %(proxy)s::text, %(sip_call_id)s::text);
