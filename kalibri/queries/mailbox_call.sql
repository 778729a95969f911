-- What a media host asks and tells for somebody who listens to his voice mail. Each is one transaction of its own.

-- name: language
-- What is spoken to who must give a PIN.
SELECT coalesce((SELECT language FROM mailbox_phone WHERE tenant_id = %(tenant)s::integer AND name = %(mailbox)s::text), 'ru')

-- name: try
-- Count a PIN that is about to be compared.
SELECT mailbox_try(%(tenant)s::integer, %(mailbox)s::text)

-- name: right
-- The PIN was the right one.
SELECT mailbox_pin_right(%(tenant)s::integer, %(mailbox)s::text, %(pin_hash)s::text)

-- name: contents
-- What is in a mailbox.
SELECT mailbox_contents(%(tenant)s::integer, %(mailbox)s::text)

-- name: files
-- Where the sound of a message lies.
SELECT jsonb_build_object('host', r.host, 'files', jsonb_agg(jsonb_build_object(
           'name', f.name, 'path', f.path, 'local', f.local, 'archive', f.archive, 'sha256', f.sha256)))
FROM voice_message m
JOIN recording r USING (tenant_id, recording_id)
JOIN recording_file f USING (tenant_id, recording_id)
WHERE m.tenant_id = %(tenant)s::integer AND m.mailbox = %(mailbox)s::text AND m.recording_id = %(message)s::uuid
GROUP BY r.host

-- name: played
-- Who got the sound of a message.
INSERT INTO recording_event (tenant_id, recording_id, kind, by, data)
SELECT tenant_id, recording_id, 'play', %(by)s::text, jsonb_build_object('file', %(file)s::text)
FROM recording WHERE tenant_id = %(tenant)s::integer AND recording_id = %(message)s::uuid

-- name: heard
-- A message was heard.
SELECT mailbox_heard(%(tenant)s::integer, %(mailbox)s::text, %(message)s::uuid, %(by)s::text)

-- name: remove
-- Messages are deleted.
SELECT mailbox_remove(%(tenant)s::integer, %(mailbox)s::text, %(messages)s::uuid[], %(by)s::text)
