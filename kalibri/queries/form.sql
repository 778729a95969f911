-- Forms, their versions, and the sheets that agents filled in.

-- name: list_forms
-- Forms with their newest version; one (name), or all of a tenant, or (tenant_id null) of everybody.
SELECT f.tenant_id, t.name AS tenant, f.form_id, f.name, f.enabled, v.version, v.source, v.created_at AS changed_at, v.created_by AS changed_by,
       (SELECT count(*) FROM form_sheet s WHERE s.tenant_id = f.tenant_id AND s.form_id = f.form_id) AS sheets
FROM form f
JOIN tenant t USING (tenant_id)
JOIN LATERAL (SELECT * FROM form_version x WHERE x.tenant_id = f.tenant_id AND x.form_id = f.form_id
              AND (%(version)s::integer IS NULL OR x.version = %(version)s)
              ORDER BY x.version DESC LIMIT 1) v ON true
WHERE (%(tenant_id)s::integer IS NULL OR f.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR f.name = %(name)s)
ORDER BY t.name, f.name;

-- name: add_form
-- A new form, without a version yet.
INSERT INTO form (tenant_id, name) VALUES (%(tenant_id)s, %(name)s) RETURNING form_id;

-- name: lock_form
-- Keeps others from adding a version meanwhile.
SELECT form_id FROM form WHERE tenant_id = %(tenant_id)s AND name = %(name)s FOR UPDATE;

-- name: add_version
-- The next version of a form.
INSERT INTO form_version (tenant_id, form_id, version, source, created_by)
SELECT %(tenant_id)s, %(form_id)s, coalesce(max(version), 0) + 1, %(source)s, acd_actor()
FROM form_version WHERE tenant_id = %(tenant_id)s AND form_id = %(form_id)s;

-- name: set_enabled
-- Puts a form into or out of use.
UPDATE form SET enabled = %(enabled)s WHERE tenant_id = %(tenant_id)s AND form_id = %(form_id)s;

-- name: remove_form
-- A form that nothing refers to.
DELETE FROM form WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: list_versions
-- Every version of a form, the newest first.
SELECT v.version, v.created_at, v.created_by,
       (SELECT count(*) FROM form_sheet s WHERE s.tenant_id = v.tenant_id AND s.form_id = v.form_id AND s.version = v.version) AS sheets
FROM form_version v
WHERE v.tenant_id = %(tenant_id)s AND v.form_id = %(form_id)s
ORDER BY v.version DESC;

-- name: form_of_card
-- What a sheet of a call is filled in for: form, agent and how the offer stands.
SELECT c.offer_id, c.entry_id, c.call_id, c.queue_id, c.agent_id, c.form_id, c.form_version AS version, v.source,
       coalesce(c.variables ->> 'campaign', '') AS campaign, coalesce(c.variables ->> 'caller', '') AS caller, o.outcome, s.finished_at
FROM agent_card c
JOIN offer o USING (tenant_id, offer_id)
LEFT JOIN form_version v ON v.tenant_id = c.tenant_id AND v.form_id = c.form_id AND v.version = c.form_version
LEFT JOIN form_sheet s ON s.tenant_id = c.tenant_id AND s.offer_id = c.offer_id
WHERE c.tenant_id = %(tenant_id)s AND c.offer_id = %(offer_id)s AND (%(agent_id)s::integer IS NULL OR c.agent_id = %(agent_id)s);

-- name: save_sheet
-- What an agent has filled in so far, or finished.
INSERT INTO form_sheet (tenant_id, form_id, version, offer_id, entry_id, call_id, queue_id, agent_id, campaign, caller, answers, disposition,
                        saved_by, finished_at)
VALUES (%(tenant_id)s, %(form_id)s, %(version)s, %(offer_id)s, %(entry_id)s, %(call_id)s, %(queue_id)s, %(agent_id)s, %(campaign)s, %(caller)s,
        %(answers)s::jsonb, %(disposition)s, acd_actor(), CASE WHEN %(finished)s THEN clock_timestamp() END)
ON CONFLICT (tenant_id, offer_id) DO UPDATE
SET answers = excluded.answers, disposition = excluded.disposition, saved_at = clock_timestamp(), saved_by = excluded.saved_by,
    finished_at = coalesce(form_sheet.finished_at, excluded.finished_at)
RETURNING sheet_id;

-- name: wrapup_of_offer
-- How the wrap-up of a conversation stands: only while its agent is in it, and has had no other call since.
SELECT a.agent_id, v.source, s.finished_at IS NOT NULL AS finished,
       extract(epoch FROM clock_timestamp() - o.ended_at)::double precision AS since_end_seconds,
       extract(epoch FROM a.wrapup_until - clock_timestamp())::double precision AS left_seconds
FROM agent_card c
JOIN offer o USING (tenant_id, offer_id)
JOIN form_version v ON v.tenant_id = c.tenant_id AND v.form_id = c.form_id AND v.version = c.form_version
JOIN agent_live a ON a.tenant_id = c.tenant_id AND a.agent_id = c.agent_id
LEFT JOIN form_sheet s ON s.tenant_id = c.tenant_id AND s.offer_id = c.offer_id
WHERE c.tenant_id = %(tenant_id)s AND c.offer_id = %(offer_id)s AND a.state = 'wrapup' AND o.state = 'ended' AND o.outcome = 'answered'
  AND NOT EXISTS (SELECT FROM offer later WHERE later.tenant_id = o.tenant_id AND later.agent_id = o.agent_id AND later.offer_id > o.offer_id
                  AND later.outcome = 'answered');

-- name: set_wrapup
-- Lets the wrap-up of an agent last so many seconds from now; 0 ends it.
SELECT acd_wrapup(%(tenant_id)s, %(agent_id)s, %(seconds)s, %(by)s);

-- name: list_sheets
-- Sheets, the latest first; a filter that is null lets everything through. The times say how the agent used wrap-up.
SELECT s.tenant_id, t.name AS tenant, s.sheet_id, f.name AS form, s.version, s.offer_id, s.entry_id, s.call_id,
       coalesce(q.name, s.queue_id::text) AS queue, coalesce(a.name, s.agent_id::text) AS agent, s.campaign, s.caller, s.disposition, s.answers,
       s.began_at, s.saved_at, s.saved_by, s.finished_at,
       round(o.talk_ms / 1000.0, 1)::double precision AS talk_seconds,
       round(extract(epoch FROM s.finished_at - o.ended_at), 1)::double precision AS after_call_seconds
FROM form_sheet s
JOIN tenant t USING (tenant_id)
JOIN form f USING (tenant_id, form_id)
LEFT JOIN queue q USING (tenant_id, queue_id)
LEFT JOIN agent a USING (tenant_id, agent_id)
LEFT JOIN offer o USING (tenant_id, offer_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND (%(sheet_id)s::bigint IS NULL OR s.sheet_id = %(sheet_id)s)
  AND (%(form)s::text IS NULL OR f.name = %(form)s)
  AND (%(agent)s::text IS NULL OR a.name = %(agent)s)
  AND (%(queue)s::text IS NULL OR q.name = %(queue)s)
  AND (%(call_id)s::uuid IS NULL OR s.call_id = %(call_id)s)
  AND (%(disposition)s::text IS NULL OR s.disposition = %(disposition)s)
  AND (%(since)s::timestamptz IS NULL OR s.saved_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR s.saved_at < %(until)s)
ORDER BY s.saved_at DESC, s.sheet_id DESC
LIMIT %(limit)s;

-- name: forget_sheets
-- Sheets past the period of their tenant, which is that of its calls.
DELETE FROM form_sheet s
WHERE s.saved_at < now() - make_interval(days => coalesce(
    (SELECT r.keep_calls_days FROM retention r WHERE r.tenant_id = s.tenant_id),
    (SELECT r.keep_calls_days FROM retention r WHERE r.tenant_id = 0),
    %(default_days)s));
