-- Preview: what an agent says of the lead that he looks at. docs/dialler.md explains.

-- name: accept
-- He wants to call it.
SELECT dial_preview_accept(%(tenant_id)s, %(agent_id)s, %(offer_id)s, %(by)s);

-- name: skip
-- He does not.
SELECT dial_preview_skip(%(tenant_id)s, %(agent_id)s, %(offer_id)s, %(reason)s, %(by)s);
