-- Instant messages that wait for a phone.

-- name: store
-- Keep a message; false: too many wait already.
SELECT store_message(%(tenant_id)s::integer, %(account_id)s::integer, %(sender)s, %(content_type)s, %(body)s,
                     %(keep)s::interval, %(most)s::integer);

-- name: due
-- Messages that may be tried now and whose account is registered somewhere, the oldest first; what is too old goes.
WITH gone AS (DELETE FROM stored_message WHERE expires_at < clock_timestamp() AND next_at <= clock_timestamp())
SELECT m.message_id, m.tenant_id, t.realm, a.username, m.sender, m.content_type, m.body
FROM stored_message m
JOIN tenant t USING (tenant_id)
JOIN account a USING (tenant_id, account_id)
WHERE m.next_at <= clock_timestamp() AND m.expires_at >= clock_timestamp() AND a.enabled AND t.enabled
  AND EXISTS (SELECT FROM kamailio.location l WHERE l.username = a.username AND l.domain = t.realm)
ORDER BY m.message_id
LIMIT 20;

-- name: claim
-- Which of these the caller may try now.
SELECT claim_messages(%(ids)s::bigint[]);

-- name: delivered
-- A phone has it.
DELETE FROM stored_message WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s;
