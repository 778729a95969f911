-- Voice mail: messages, mailboxes with addresses, letters.

-- name: list_messages
-- Messages, the latest first; a filter that is null lets everything through.
SELECT m.tenant_id, t.name AS tenant, m.recording_id, m.mailbox, a.username AS account, m.caller, r.call_id, m.left_at, m.duration_ms,
       m.arrived_at, m.heard_at, m.heard_by, m.letter, m.letter_attempts, m.letter_sent_at, m.letter_error,
       CASE WHEN m.letter = 'pending' THEN m.letter_next_at END AS letter_next_at
FROM voice_message m
JOIN tenant t USING (tenant_id)
JOIN recording r USING (tenant_id, recording_id)
LEFT JOIN account a USING (tenant_id, account_id)
WHERE (%(tenant_id)s::integer IS NULL OR m.tenant_id = %(tenant_id)s)
  AND (%(mailbox)s::text IS NULL OR m.mailbox = %(mailbox)s)
  AND (%(recording_id)s::uuid IS NULL OR m.recording_id = %(recording_id)s)
  AND (%(is_new)s::boolean IS NULL OR (m.heard_at IS NULL) = %(is_new)s)
ORDER BY m.left_at DESC, m.recording_id DESC
LIMIT %(limit)s;

-- name: list_mailboxes
-- Mailboxes that have messages or addresses, with what waits in them.
WITH counted AS (
    SELECT tenant_id, mailbox AS name, count(*) FILTER (WHERE heard_at IS NULL) AS new_count, count(heard_at) AS old_count,
           count(*) FILTER (WHERE letter = 'dead' OR letter = 'pending' AND letter_attempts > 0) AS failing
    FROM voice_message GROUP BY tenant_id, mailbox),
boxes AS (
    SELECT tenant_id, name, coalesce(new_count, 0) AS new_count, coalesce(old_count, 0) AS old_count, coalesce(failing, 0) AS failing,
           coalesce(recipients, '{}') AS recipients
    FROM mailbox FULL JOIN counted USING (tenant_id, name))
SELECT b.tenant_id, t.name AS tenant, b.name AS mailbox, b.new_count AS new, b.old_count AS heard, b.failing AS unsent, b.recipients
FROM boxes b JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR b.tenant_id = %(tenant_id)s) AND (%(mailbox)s::text IS NULL OR b.name = %(mailbox)s)
ORDER BY t.name, b.name;

-- name: set_mailbox
-- Messages that come from now on go out to these addresses.
INSERT INTO mailbox (tenant_id, name, account_id, recipients)
VALUES (%(tenant_id)s, %(mailbox)s, (SELECT account_id FROM account WHERE tenant_id = %(tenant_id)s AND username = %(mailbox)s),
        %(recipients)s)
ON CONFLICT ON CONSTRAINT mailbox_pkey DO UPDATE SET recipients = EXCLUDED.recipients, account_id = EXCLUDED.account_id;

-- name: drop_mailbox
-- Messages of this mailbox go out no more; those that wait to be sent stay where they are.
DELETE FROM mailbox WHERE tenant_id = %(tenant_id)s AND name = %(mailbox)s;

-- name: forget_letters
-- What waits to be sent from a mailbox without addresses is not sent.
UPDATE voice_message SET letter = 'none'
WHERE tenant_id = %(tenant_id)s AND mailbox = %(mailbox)s AND letter IN ('pending', 'dead');

-- name: set_heard
-- A message was heard, or is new again; nothing changes if it is so already.
UPDATE voice_message
SET heard_at = CASE WHEN %(heard)s THEN clock_timestamp() END, heard_by = CASE WHEN %(heard)s THEN %(by)s ELSE '' END
WHERE tenant_id = %(tenant_id)s AND recording_id = %(recording_id)s AND (heard_at IS NOT NULL) <> %(heard)s;

-- name: letters_wait
-- Whether a machine has a letter to send now.
SELECT EXISTS (SELECT FROM voice_message m JOIN recording r USING (tenant_id, recording_id)
               WHERE m.letter = 'pending' AND m.letter_next_at <= clock_timestamp() AND r.host = %(host)s);

-- name: due_letters
-- Letters that a machine has to send now, the oldest first.
SELECT m.tenant_id, t.name AS tenant, t.time_zone, m.recording_id, m.mailbox, coalesce(a.display_name, '') AS display_name, m.caller, m.left_at,
       m.duration_ms, b.recipients, m.letter_attempts AS attempts, m.letter_give_up_at AS give_up_at
FROM voice_message m
JOIN tenant t USING (tenant_id)
JOIN recording r USING (tenant_id, recording_id)
JOIN mailbox b ON b.tenant_id = m.tenant_id AND b.name = m.mailbox
LEFT JOIN account a ON a.tenant_id = m.tenant_id AND a.account_id = m.account_id
WHERE m.letter = 'pending' AND m.letter_next_at <= %(now)s AND r.host = %(host)s
ORDER BY m.letter_next_at LIMIT %(limit)s;

-- name: letter_sent
-- A mail server took it; error: recipients that it refused.
UPDATE voice_message
SET letter = 'sent', letter_sent_at = clock_timestamp(), letter_attempts = letter_attempts + 1, letter_error = %(error)s
WHERE tenant_id = %(tenant_id)s AND recording_id = %(recording_id)s AND letter = 'pending';

-- name: letter_failed
-- It could not be sent; after its last time it is given up.
UPDATE voice_message
SET letter = CASE WHEN %(next_at)s::timestamptz > letter_give_up_at THEN 'dead' ELSE 'pending' END::letter_state,
    letter_attempts = letter_attempts + 1, letter_next_at = %(next_at)s, letter_error = %(error)s
WHERE tenant_id = %(tenant_id)s AND recording_id = %(recording_id)s AND letter = 'pending';

-- name: send_again
-- A letter is to be sent, for the first time or again, at once.
UPDATE voice_message
SET letter = 'pending', letter_attempts = 0, letter_next_at = clock_timestamp(), letter_give_up_at = clock_timestamp() + interval '3 days',
    letter_error = ''
WHERE tenant_id = %(tenant_id)s AND recording_id = %(recording_id)s;

-- name: phone_access
-- How a mailbox is listened to by telephone.
SELECT t.tenant_id, t.name AS tenant, %(mailbox)s::text AS mailbox, coalesce(p.pin_hash, '') <> '' AS has_pin,
       coalesce(p.language, 'ru') AS language, coalesce(p.failures, 0) AS failures,
       CASE WHEN p.locked_until > clock_timestamp() THEN p.locked_until END AS locked_until
FROM tenant t LEFT JOIN mailbox_phone p ON p.tenant_id = t.tenant_id AND p.name = %(mailbox)s
WHERE t.tenant_id = %(tenant_id)s;

-- name: set_phone
-- How a mailbox is listened to by telephone, from now on; what is null stays.
INSERT INTO mailbox_phone (tenant_id, name, account_id, pin_hash, language)
VALUES (%(tenant_id)s, %(mailbox)s, (SELECT account_id FROM account WHERE tenant_id = %(tenant_id)s AND username = %(mailbox)s),
        coalesce(%(pin_hash)s::text, ''), coalesce(%(language)s::text, 'ru'))
ON CONFLICT ON CONSTRAINT mailbox_phone_pkey DO UPDATE
SET account_id = EXCLUDED.account_id, pin_hash = coalesce(%(pin_hash)s::text, mailbox_phone.pin_hash),
    language = coalesce(%(language)s::text, mailbox_phone.language),
    failures = CASE WHEN %(forget)s THEN 0 ELSE mailbox_phone.failures END,
    locked_until = CASE WHEN %(forget)s THEN NULL ELSE mailbox_phone.locked_until END;
