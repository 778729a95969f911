-- Cards: what agents see of the calls that they are offered.

-- name: try_lock
-- One process at a time makes cards; it holds the lock until its transaction ends. A crash may lose the last moment of
-- it, cards and cursor together: nobody has heard of them, for events are numbered in a durable transaction after this one.
SELECT pg_try_advisory_xact_lock(hashtext('make_cards')) FROM set_config('synchronous_commit', 'off', true);

-- name: new_events
-- What happened to offers since cards were made last, and up to where the stream was looked at. The cursor moves seldom
-- while nothing is to be made, so whoever looks says up to where he has seen nothing.
WITH ends AS (
    SELECT c.seq, greatest((SELECT coalesce(max(seq), 0) FROM event_log), c.seq) AS head FROM card_cursor c
), bounds AS (
    SELECT head, greatest(seq, CASE WHEN %(seen)s <= head THEN %(seen)s ELSE 0 END) AS since FROM ends
), found AS (
    SELECT l.seq, l.tenant_id, l.kind, (l.data ->> 'offer_id')::bigint AS offer_id
    FROM event_log l
    -- Sub-selects, not a join: so the numbers are known when the index of the stream is read.
    WHERE l.seq > (SELECT since FROM bounds) AND l.seq <= (SELECT head FROM bounds) AND l.kind IN ('offer.make', 'offer.answer', 'offer.end')
      AND (l.data ? 'preview_seconds' OR EXISTS (SELECT FROM screen_pop p WHERE p.tenant_id = l.tenant_id) OR EXISTS (SELECT FROM caller_lookup c WHERE c.tenant_id = l.tenant_id))
    ORDER BY l.seq
    LIMIT %(most)s
)
SELECT seq, tenant_id, kind, offer_id FROM found
UNION ALL
SELECT CASE WHEN (SELECT count(*) FROM found) < %(most)s THEN b.head ELSE (SELECT max(seq) FROM found) END, 0, '', 9223372036854775807
FROM bounds b
ORDER BY 1, 4;

-- name: move_cursor
-- Cards are made up to here; where nothing was to be made it is noted now and then only.
UPDATE card_cursor SET seq = %(seq)s WHERE seq < %(seq)s - CASE WHEN %(used)s THEN 0 ELSE 1000 END;

-- name: make_card
-- The card of an offer, if anything opens with the call, is filled in or looked up; not for one that was over long ago.
INSERT INTO agent_card (tenant_id, offer_id, entry_id, call_id, queue_id, agent_id, variables, history, url_template, open_at, form_id,
                        form_version, lookup, lookup_until)
SELECT o.tenant_id, o.offer_id, o.entry_id, o.call_id, o.queue_id, o.agent_id, v.variables,
       caller_history(o.tenant_id, v.variables ->> 'caller', o.entry_id, %(history)s),
       coalesce(u.url, ''), coalesce(u.open_at, 'offer'), f.form_id, f.version,
       CASE WHEN l.tenant_id IS NOT NULL AND NOT v.variables ->> 'caller' = ANY (%(withheld)s) THEN 'wanted' ELSE 'none' END::card_lookup,
       clock_timestamp()
FROM offer o
JOIN queue_entry e USING (tenant_id, entry_id)
JOIN queue q ON q.tenant_id = o.tenant_id AND q.queue_id = o.queue_id
JOIN agent a ON a.tenant_id = o.tenant_id AND a.agent_id = o.agent_id
JOIN tenant t ON t.tenant_id = o.tenant_id
CROSS JOIN LATERAL (
    SELECT jsonb_build_object(
        'tenant', t.name, 'queue', q.name, 'agent', a.name, 'agent_name', coalesce(nullif(a.display_name, ''), a.name),
        'caller', coalesce(nullif(e.caller, ''), e.number, ''), 'caller_name', e.caller_name, 'called', coalesce(e.variables ->> 'called', ''),
        'campaign', coalesce(e.variables ->> 'campaign', ''), 'call_id', o.call_id, 'entry_id', o.entry_id, 'offer_id', o.offer_id,
        'waited_seconds', round(o.waited_ms / 1000.0), 'crm_id', coalesce(e.variables ->> 'crm_id', ''),
        -- The dialler gives the lead's variables beside its id; who makes calls by acd_enter may give an object.
        'lead', CASE WHEN jsonb_typeof(e.variables -> 'lead') = 'object' THEN e.variables -> 'lead'
                     WHEN e.variables ? 'lead' THEN (e.variables - ARRAY['called', 'campaign', 'lead', 'lead_name', 'dial'])
                         || jsonb_build_object('id', e.variables -> 'lead', 'name', coalesce(e.variables -> 'lead_name', '""'))
                     ELSE '{}' END,
        'var', e.variables - ARRAY['called', 'campaign', 'lead', 'dial']) AS variables) v
LEFT JOIN campaign g ON g.tenant_id = o.tenant_id AND g.name = v.variables ->> 'campaign'
LEFT JOIN LATERAL (
    SELECT p.url, p.open_at FROM screen_pop p
    WHERE p.tenant_id = o.tenant_id AND p.enabled AND p.url <> '' AND coalesce(p.agent_id, o.agent_id) = o.agent_id
      AND coalesce(p.queue_id, o.queue_id) = o.queue_id AND (p.campaign_id IS NULL OR p.campaign_id = g.campaign_id)
    ORDER BY p.agent_id NULLS LAST, p.campaign_id NULLS LAST, p.queue_id NULLS LAST
    LIMIT 1) u ON true
LEFT JOIN LATERAL (
    SELECT p.form_id, max(fv.version) AS version
    FROM screen_pop p
    JOIN form ON form.tenant_id = p.tenant_id AND form.form_id = p.form_id AND form.enabled
    JOIN form_version fv ON fv.tenant_id = p.tenant_id AND fv.form_id = p.form_id
    WHERE p.tenant_id = o.tenant_id AND p.enabled AND coalesce(p.agent_id, o.agent_id) = o.agent_id
      AND coalesce(p.queue_id, o.queue_id) = o.queue_id AND (p.campaign_id IS NULL OR p.campaign_id = g.campaign_id)
    GROUP BY p.pop_id, p.form_id, p.agent_id, p.campaign_id, p.queue_id
    ORDER BY p.agent_id NULLS LAST, p.campaign_id NULLS LAST, p.queue_id NULLS LAST
    LIMIT 1) f ON true
LEFT JOIN caller_lookup l ON l.tenant_id = o.tenant_id AND l.enabled
WHERE o.tenant_id = %(tenant_id)s AND o.offer_id = %(offer_id)s AND o.made_at > clock_timestamp() - interval '1 hour'
  AND (u.url IS NOT NULL OR f.form_id IS NOT NULL OR l.tenant_id IS NOT NULL OR e.variables #> '{dial,preview_seconds}' IS NOT NULL)
ON CONFLICT (tenant_id, offer_id) DO NOTHING;

-- name: lock_card
-- What decides whether the address of a card opens now. A conversation that has just ended still counts: wrap-up.
SELECT c.url_template, c.open_at, c.lookup, c.variables, c.info, o.answered_at IS NOT NULL AS answered,
       o.state = 'ended' AND (o.outcome <> 'answered' OR o.ended_at < clock_timestamp() - interval '1 minute') AS over
FROM agent_card c JOIN offer o USING (tenant_id, offer_id)
WHERE c.tenant_id = %(tenant_id)s AND c.offer_id = %(offer_id)s AND c.opened_at IS NULL AND c.url_template <> ''
FOR UPDATE OF c;

-- name: open_card
-- The address opens.
UPDATE agent_card SET opened_at = clock_timestamp(), url = %(url)s WHERE tenant_id = %(tenant_id)s AND offer_id = %(offer_id)s;

-- name: claim_lookups
-- Callers to look up; who takes one has as long as its tenant allows, then another one may.
UPDATE agent_card c
SET lookup_until = clock_timestamp() + make_interval(secs => 5 + coalesce((SELECT l.timeout_ms FROM caller_lookup l WHERE l.tenant_id = c.tenant_id), 0) / 1000.0)
WHERE (c.tenant_id, c.offer_id) IN (
    SELECT w.tenant_id, w.offer_id FROM agent_card w
    WHERE w.lookup = 'wanted' AND w.lookup_until <= clock_timestamp()
    ORDER BY w.lookup_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
RETURNING c.tenant_id, c.offer_id, c.variables, c.made_at < clock_timestamp() - make_interval(secs => %(patience_seconds)s) AS late;

-- name: looked_up
-- What the look-up gave.
UPDATE agent_card SET lookup = %(lookup)s, info = %(info)s::jsonb, lookup_error = %(error)s
WHERE tenant_id = %(tenant_id)s AND offer_id = %(offer_id)s AND lookup = 'wanted';

-- name: list_cards
-- Cards of an agent, the newest first: of calls that ring or go on, and of those that he had since.
SELECT c.tenant_id, c.offer_id, c.entry_id, c.call_id, q.name AS queue, a.name AS agent, c.made_at, o.state, o.outcome, o.answered_at, o.ended_at,
       c.variables, c.history, c.open_at, c.opened_at, c.url, c.lookup, c.lookup_error, c.info, f.name AS form, c.form_version, v.source,
       coalesce(s.answers, '{}') AS answers, s.disposition, s.saved_at, s.finished_at, o.preview_until
FROM agent_card c
JOIN offer o USING (tenant_id, offer_id)
JOIN queue q ON q.tenant_id = c.tenant_id AND q.queue_id = c.queue_id
JOIN agent a ON a.tenant_id = c.tenant_id AND a.agent_id = c.agent_id
LEFT JOIN form f ON f.tenant_id = c.tenant_id AND f.form_id = c.form_id
LEFT JOIN form_version v ON v.tenant_id = c.tenant_id AND v.form_id = c.form_id AND v.version = c.form_version
LEFT JOIN form_sheet s ON s.tenant_id = c.tenant_id AND s.offer_id = c.offer_id
WHERE c.tenant_id = %(tenant_id)s
  AND (%(agent_id)s::integer IS NULL OR c.agent_id = %(agent_id)s)
  AND (%(offer_id)s::bigint IS NULL OR c.offer_id = %(offer_id)s)
  AND (%(offer_id)s::bigint IS NOT NULL OR o.state <> 'ended' OR o.outcome = 'answered')
ORDER BY c.offer_id DESC
LIMIT %(limit)s;

-- name: forget_cards
-- Cards of calls that nobody works on any more; what was filled in stays.
DELETE FROM agent_card WHERE made_at < now() - make_interval(days => %(days)s);
