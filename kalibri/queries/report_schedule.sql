-- Reports that are sent by e-mail (kalibri/services/report_schedule.py).

-- name: list
-- Scheduled reports of a tenant, or of all (tenant_id null).
SELECT s.tenant_id, t.name AS tenant, t.time_zone, s.schedule_id, s.name, s.report, s.options, s.every, s.at, s.format, s.recipients, s.enabled,
       s.sent_until, s.sent_at, s.attempts, s.retry_at, s.last_error
FROM report_schedule s JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s) AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY t.name, s.name;

-- name: add
-- A new one; sent_until: the period that runs now is the first one that it will tell.
INSERT INTO report_schedule (tenant_id, name, report, options, every, at, format, recipients, sent_until)
VALUES (%(tenant_id)s, %(name)s, %(report)s, %(options)s, %(every)s, %(at)s, %(format)s, %(recipients)s, %(sent_until)s);

-- name: change
-- Changes one.
UPDATE report_schedule
SET options = %(options)s, every = %(every)s, at = %(at)s, format = %(format)s, recipients = %(recipients)s, enabled = %(enabled)s
WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s;

-- name: remove
-- Removes one.
DELETE FROM report_schedule WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: sent
-- Notes that a period was told.
UPDATE report_schedule
SET sent_until = greatest(sent_until, %(until)s), sent_at = clock_timestamp(), attempts = 0, retry_at = NULL, last_error = %(error)s
WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s;

-- name: failed
-- Notes that it could not be sent, and when to try again.
UPDATE report_schedule SET attempts = attempts + 1, retry_at = %(retry_at)s, last_error = %(error)s
WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s;
