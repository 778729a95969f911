-- Preview: an agent looks at a lead, and accepts it, skips it, or lets the time pass. docs/dialler.md explains.
-- While he looks he is reserved by an offer that no host knows of (offer.preview_until); accepted it is an ordinary one.

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE lead_skip (
    tenant_id   integer NOT NULL,
    lead_id     bigint NOT NULL,
    agent_id    integer NOT NULL,
    skipped_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    until       timestamptz NOT NULL,
    reason      text NOT NULL CONSTRAINT lead_skip_reason_check CHECK (reason <> '' AND reason !~ '[[:cntrl:]]' AND length(reason) <= 200),
    times       integer NOT NULL DEFAULT 1 CONSTRAINT lead_skip_times_check CHECK (times >= 1),
    CONSTRAINT lead_skip_pkey PRIMARY KEY (tenant_id, lead_id, agent_id),
    CONSTRAINT lead_skip_lead_fkey FOREIGN KEY (tenant_id, lead_id) REFERENCES lead ON DELETE CASCADE,
    CONSTRAINT lead_skip_agent_fkey FOREIGN KEY (tenant_id, agent_id) REFERENCES agent ON DELETE CASCADE
);
COMMENT ON TABLE lead_skip IS 'Which agent skipped which lead, why (the last time), and until when it is not offered to him again.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION dial_preview_rules(c campaign) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN c.mode = 'preview' THEN jsonb_build_object(
    'preview_seconds', c.preview_seconds, 'preview_action', c.preview_action, 'preview_again_seconds', c.preview_again_seconds) ELSE '{}' END
$$;
COMMENT ON FUNCTION dial_preview_rules(campaign) IS 'What a task keeps of the rules of a preview campaign; empty: it is none.';

CREATE FUNCTION dial_skippers(e queue_entry, at timestamptz) RETURNS integer[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT e.variables ? 'dial' THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT agent_id FROM lead_skip s
                 WHERE s.tenant_id = e.tenant_id AND s.lead_id = (e.variables #>> '{dial,lead}')::bigint AND s.until > at);
END $$;
COMMENT ON FUNCTION dial_skippers(queue_entry, timestamptz) IS 'Agents who do not get the lead of a task now, because they skipped it.';

CREATE FUNCTION dial_skip_ends(e queue_entry, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
SELECT min(until) FROM lead_skip s WHERE s.tenant_id = e.tenant_id AND s.lead_id = (e.variables #>> '{dial,lead}')::bigint AND s.until > at
$$;
COMMENT ON FUNCTION dial_skip_ends(queue_entry, timestamptz) IS 'When the lead of a task may be offered to one more agent; null: to all of them already.';

CREATE FUNCTION dial_all_skipped(p_tenant integer, p_queue integer, p_lead bigint, p_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
SELECT CASE WHEN bool_and(s.until IS NOT NULL) THEN min(s.until) END
FROM queue_member m
JOIN agent_live a ON a.tenant_id = m.tenant_id AND a.agent_id = m.agent_id
LEFT JOIN lead_skip s ON s.tenant_id = m.tenant_id AND s.agent_id = m.agent_id AND s.lead_id = p_lead AND s.until > p_at
WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND a.enabled AND a.logged_in AND a.registered AND a.pause_reason IS NULL
$$;
COMMENT ON FUNCTION dial_all_skipped(integer, integer, bigint, timestamptz) IS 'When the first agent at work may be offered a lead again that all of them skipped; null: there is one who may have it, or nobody is at work.';

CREATE FUNCTION dial_is_preview(e queue_entry) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT EXISTS (SELECT FROM offer o WHERE o.tenant_id = e.tenant_id AND o.entry_id = e.entry_id AND o.state <> 'ended' AND o.preview_until IS NOT NULL)
$$;
COMMENT ON FUNCTION dial_is_preview(queue_entry) IS 'An agent looks at this task; nobody is being called for it.';

CREATE FUNCTION dial_preview_begin(o offer, p_by text, p_now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
-- The preview is over and the offer an ordinary one: a host takes it within 5 s, or the attempt is lost.
DECLARE
    e queue_entry;
    q queue;
    v_host text;
BEGIN
    IF NOT EXISTS (SELECT FROM agent_live a WHERE a.tenant_id = o.tenant_id AND a.agent_id = o.agent_id
                   AND a.enabled AND a.logged_in AND a.registered AND a.legs = 0 AND a.pause_reason IS NULL) THEN
        RETURN 'unavailable';
    END IF;
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id;
    IF dial_refuse(e, p_now) THEN
        RETURN 'withdrawn';
    END IF;
    v_host := acd_pick_host();
    IF v_host IS NULL THEN
        RETURN 'no_host';
    END IF;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = o.tenant_id AND queue_id = o.queue_id;
    UPDATE queue_entry SET holder = v_host, state_at = p_now, missing_since = NULL WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id RETURNING * INTO e;
    UPDATE offer SET holder = v_host, preview_until = NULL, deadline_at = p_now + interval '5 s' WHERE tenant_id = o.tenant_id AND offer_id = o.offer_id;
    PERFORM acd_note(p_now, o.tenant_id, 'offer.accept', o.queue_id, o.entry_id, o.offer_id, o.agent_id, o.call_id,
                     jsonb_build_object('by', p_by, 'looked_seconds', acd_ms(o.made_at, p_now) / 1000.0));
    PERFORM acd_send(v_host, o.tenant_id, 'offer_agent', o.entry_id, o.offer_id, acd_offer_data(e, q, o.agent_id, o.forced, p_now));
    RETURN 'accepted';
END $$;
COMMENT ON FUNCTION dial_preview_begin(offer, text, timestamptz) IS 'Ends a preview with a call: accepted, or why not (unavailable, withdrawn, no_host).';

CREATE FUNCTION dial_preview_skipped(o offer, p_reason text, p_outcome offer_outcome, p_by text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The attempt ends as skipped; what follows for the lead its retry rules say. A reason that is one word is the verdict.
DECLARE
    e queue_entry;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id;
    PERFORM dial_tell(e, jsonb_build_object('skipped', p_reason, 'agent', o.agent_id, 'by', p_by)
        || CASE WHEN p_reason ~ '^[a-z0-9_]{1,32}$' THEN jsonb_build_object('verdict', p_reason) ELSE '{}' END);
    INSERT INTO lead_skip AS s (tenant_id, lead_id, agent_id, skipped_at, until, reason)
    VALUES (o.tenant_id, (e.variables #>> '{dial,lead}')::bigint, o.agent_id, p_now,
            p_now + acd_seconds((e.variables #>> '{dial,preview_again_seconds}')::integer), p_reason)
    ON CONFLICT (tenant_id, lead_id, agent_id) DO UPDATE
    SET skipped_at = excluded.skipped_at, until = excluded.until, reason = excluded.reason, times = s.times + 1;
    PERFORM acd_close_offer(o, p_outcome, NULL, 'skipped: ' || p_reason, p_by, p_now);
    PERFORM acd_end_entry(o.tenant_id, o.entry_id, 'cancelled', p_by, jsonb_build_object('cause', 'skipped', 'skipped', p_reason), p_now);
    PERFORM acd_match(o.tenant_id, p_now, p_agent => o.agent_id);
END $$;
COMMENT ON FUNCTION dial_preview_skipped(offer, text, offer_outcome, text, timestamptz) IS 'Ends a preview without a call; the lead is not offered to this agent for the time that the campaign says.';

CREATE FUNCTION dial_preview_of(p_tenant integer, p_agent integer, p_offer bigint) RETURNS offer LANGUAGE plpgsql STABLE AS $$
DECLARE
    o offer;
BEGIN
    SELECT * INTO o FROM offer
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND CASE WHEN p_offer IS NULL THEN preview_until IS NOT NULL ELSE offer_id = p_offer END;
    RETURN o;
END $$;
COMMENT ON FUNCTION dial_preview_of(integer, integer, bigint) IS 'The offer that an agent means: this one of his, whatever became of it, or (null) the one that he looks at.';

CREATE FUNCTION dial_preview_state(o offer) RETURNS text LANGUAGE plpgsql STABLE AS $$
-- The event tells, not the row: a preview that has become a call is an offer like any other.
BEGIN
    RETURN CASE
        WHEN o.offer_id IS NULL THEN 'none'
        WHEN o.preview_until IS NOT NULL THEN 'open'
        WHEN o.cause LIKE 'skipped: %' THEN 'skipped'
        WHEN EXISTS (SELECT FROM acd_event v WHERE v.tenant_id = o.tenant_id AND v.at >= o.made_at AND v.kind = 'offer.accept' AND v.offer_id = o.offer_id) THEN 'accepted'
        ELSE 'over' END;
END $$;
COMMENT ON FUNCTION dial_preview_state(offer) IS 'What became of a preview: open, accepted, skipped, over (withdrawn), none.';

CREATE FUNCTION dial_preview_accept(p_tenant integer, p_agent integer, p_offer bigint, p_by text) RETURNS text LANGUAGE plpgsql AS $$
-- A second click on the same offer does nothing and says the same.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer := dial_preview_of(p_tenant, p_agent, p_offer);
    v_state text := dial_preview_state(o);
BEGIN
    IF v_state = 'open' THEN
        v_state := dial_preview_begin(o, p_by, v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_state;
END $$;
COMMENT ON FUNCTION dial_preview_accept(integer, integer, bigint, text) IS 'An agent calls the lead that he looks at: accepted, or why not (unavailable, withdrawn, no_host, skipped, over, none).';

CREATE FUNCTION dial_preview_skip(p_tenant integer, p_agent integer, p_offer bigint, p_reason text, p_by text) RETURNS text LANGUAGE plpgsql AS $$
-- A second click on the same offer does nothing and says the same: never the next lead is skipped by it.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer := dial_preview_of(p_tenant, p_agent, p_offer);
    v_state text := dial_preview_state(o);
BEGIN
    IF v_state = 'open' THEN
        PERFORM dial_preview_skipped(o, p_reason, 'cancelled', p_by, v_now);
        v_state := 'skipped';
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_state;
END $$;
COMMENT ON FUNCTION dial_preview_skip(integer, integer, bigint, text, text) IS 'An agent does not want to call the lead that he looks at: skipped, or why not (accepted, over, none).';

CREATE FUNCTION dial_preview_over(o offer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Who says nothing has not answered, as with a phone: the queue's limits pause him. A call that cannot begin now
-- gives the lead back, with its place.
DECLARE
    v_action text;
    v_state text;
BEGIN
    SELECT variables #>> '{dial,preview_action}' INTO v_action FROM queue_entry WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id;
    IF v_action = 'dial' THEN
        v_state := dial_preview_begin(o, 'time', p_now);
        IF v_state IN ('unavailable', 'no_host') THEN
            PERFORM acd_fail_offer(o, 'cancelled', NULL, 'the time of the preview is over, and no call is possible: ' || v_state, p_now);
        END IF;
    ELSE
        PERFORM dial_preview_skipped(o, 'timeout', 'no_answer', 'system', p_now);
    END IF;
END $$;
COMMENT ON FUNCTION dial_preview_over(offer, timestamptz) IS 'The agent has let the time of a preview pass: skip or dial, as the campaign says.';

CREATE FUNCTION dial_preview_drop(p_tenant integer, p_agent integer, p_cause text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    o offer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND agent_id = p_agent AND state <> 'ended' AND preview_until IS NOT NULL;
    IF FOUND THEN
        PERFORM acd_fail_offer(o, 'cancelled', NULL, p_cause, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION dial_preview_drop(integer, integer, text, timestamptz) IS 'The agent is gone while he looks at a lead: it keeps its place and goes to another one.';

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL protect_tenant_rows('lead_skip');
