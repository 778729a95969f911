-- Call distribution: what happens to offers and to entries that have them (docs/acd.md, section 3).

CREATE FUNCTION acd_too_late(p_tenant integer, p_offer bigint) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Who reports late may hold a caller who waits again: a proxy must bring him to a host then. Or one whom somebody has
-- sent away meanwhile: a proxy hears so now.
DECLARE
    e queue_entry;
    o offer;
    v_leave host_command;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    IF e.state = 'ended' AND NOT e.anchored THEN
        UPDATE host_command SET taken_at = clock_timestamp(), done_at = clock_timestamp()
        WHERE host = current_setting('acd.caller') AND taken_at IS NULL AND tenant_id = p_tenant AND entry_id = e.entry_id AND kind = 'leave'
        RETURNING * INTO v_leave;
    END IF;
    IF v_leave.command_id IS NOT NULL THEN
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'leave', e.entry_id, p_offer, v_leave.data);
    ELSIF e.state IN ('waiting', 'arriving') AND e.holder = current_setting('acd.caller') AND NOT e.anchored THEN
        PERFORM acd_send_place(e);
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', o.entry_id, p_offer,
                         jsonb_build_object('reason', coalesce(o.outcome::text, 'unknown'), 'cause', coalesce(o.cause, '')));
    END IF;
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_too_late(integer, bigint) IS 'The reply for an offer that is over.';

CREATE FUNCTION acd_keep_legs(p_offer offer, p_legs jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leg (tenant_id, sip_call_id, tag, remote_tag, entry_id, offer_id, kind, holder)
    SELECT p_offer.tenant_id, l ->> 'sip_call_id', l ->> 'local_tag', coalesce(l ->> 'remote_tag', ''), p_offer.entry_id, p_offer.offer_id,
           l ->> 'kind', p_offer.holder
    FROM jsonb_array_elements(p_legs) AS l
    WHERE l ? 'local_tag'
    ON CONFLICT (tenant_id, sip_call_id, tag) DO UPDATE SET offer_id = excluded.offer_id, remote_tag = excluded.remote_tag;
END $$;
COMMENT ON FUNCTION acd_keep_legs(offer, jsonb) IS 'Remembers dialogs for Replaces.';

CREATE FUNCTION acd_set_joined(p_entry queue_entry, p_offer offer, p_data jsonb, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_offer.joined_at IS NULL THEN
        UPDATE offer SET joined_at = p_now, deadline_at = NULL WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    END IF;
    UPDATE queue_entry
    SET state = 'talking', state_at = p_now, answered_at = coalesce(answered_at, p_now), agent_id = p_offer.agent_id, due_at = NULL, assigned_agent = NULL,
        waited_ms = coalesce(waited_ms, acd_ms(since, p_now))
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'offer.join', p_entry.queue_id, p_entry.entry_id, p_offer.offer_id, p_offer.agent_id, p_entry.call_id,
        jsonb_build_object('waited_seconds', acd_ms(p_entry.since, p_now) / 1000.0));
    IF p_entry.caller <> '' AND (SELECT sticky_seconds FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id) IS NOT NULL THEN
        INSERT INTO last_agent (tenant_id, caller, agent_id, at) VALUES (p_entry.tenant_id, p_entry.caller, p_offer.agent_id, p_now)
        ON CONFLICT (tenant_id, caller) DO UPDATE SET agent_id = excluded.agent_id, at = excluded.at;
    END IF;
    PERFORM acd_send(p_offer.holder, p_entry.tenant_id, 'join', p_entry.entry_id, p_offer.offer_id, p_data);
END $$;
COMMENT ON FUNCTION acd_set_joined(queue_entry, offer, jsonb, timestamptz) IS 'Caller and agent hear each other.';

CREATE FUNCTION acd_answer(p_tenant integer, p_offer bigint, p_legs jsonb DEFAULT '[]', p_joined boolean DEFAULT true)
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    e queue_entry;
    q queue;
    v_data jsonb;
    v_freed integer[];
    v_dial boolean;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS NULL OR o.state = 'ended' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    v_dial := e.kind = 'callback' AND NOT e.anchored;
    v_data := acd_offer_data(e, q, o.agent_id, o.forced, v_now);
    IF o.state = 'answered' THEN  -- asked again, because the reply was lost
        PERFORM acd_send(o.holder, p_tenant, 'join', e.entry_id, p_offer, v_data);
    ELSE
        UPDATE offer
        SET state = 'answered', answered_at = v_now, ring_ms = acd_ms(CASE WHEN e.variables #> '{dial,preview_seconds}' IS NULL THEN made_at ELSE rung_at END, v_now),
            joined_at = CASE WHEN p_joined AND NOT v_dial THEN v_now END,
            deadline_at = CASE WHEN v_dial OR NOT p_joined THEN v_now + acd_seconds(greatest(60, q.callback_ring_seconds + 10,
                                                                 dial_seconds(e, 'reading_seconds') + dial_seconds(e, 'ring_seconds') + 15)) END,
            agent_sip_call_id = (SELECT l ->> 'sip_call_id' FROM jsonb_array_elements(p_legs) l WHERE l ->> 'kind' = 'agent' LIMIT 1)
        WHERE tenant_id = p_tenant AND offer_id = p_offer RETURNING * INTO o;
        UPDATE agent_live
        SET offer_state = 'answered', event = 'answer', event_at = v_now, event_by = '', no_answers = 0, rejects = 0, busies = 0, unreachables = 0, not_before = NULL
        WHERE tenant_id = p_tenant AND agent_id = o.agent_id;
        PERFORM acd_note(v_now, p_tenant, 'offer.answer', e.queue_id, e.entry_id, p_offer, o.agent_id, e.call_id, jsonb_build_object('ring_seconds', o.ring_ms / 1000.0));
        v_freed := acd_close_offers(p_tenant, e.entry_id, 'cancelled', 'another agent answered', 'system', v_now, p_keep => p_offer);
        PERFORM acd_keep_legs(o, p_legs) WHERE p_legs <> '[]';
        IF v_dial THEN
            PERFORM acd_send(o.holder, p_tenant, 'dial', e.entry_id, p_offer, acd_dial_data(e, q));
        ELSIF p_joined THEN
            PERFORM acd_set_joined(e, o, v_data, v_now);
        ELSE
            PERFORM acd_send(o.holder, p_tenant, 'join', e.entry_id, p_offer, v_data);
        END IF;
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, e.entry_id);
END $$;
COMMENT ON FUNCTION acd_answer(integer, bigint, jsonb, boolean) IS 'An agent answered: join if his offer is still open, cancel_offer for the others; else too_late.';

CREATE FUNCTION acd_joined(p_tenant integer, p_offer bigint) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS DISTINCT FROM 'answered' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF o.joined_at IS NULL THEN
        PERFORM acd_set_joined(e, o, acd_offer_data(e, q, o.agent_id, o.forced, v_now), v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, e.entry_id);
END $$;
COMMENT ON FUNCTION acd_joined(integer, bigint) IS 'The agent who answered and the caller hear each other now (after a whisper).';

CREATE FUNCTION acd_outcome(p_tenant integer, p_offer bigint, p_outcome offer_outcome, p_code integer DEFAULT NULL, p_cause text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Also for an agent who answered and hung up before he was joined.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    q queue;
BEGIN
    IF p_outcome = 'answered' THEN
        RAISE EXCEPTION 'an answer is told by acd_answer';
    END IF;
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS NULL OR o.state = 'ended' OR o.joined_at IS NOT NULL THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    PERFORM acd_fail_offer(o, p_outcome, p_code, p_cause, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_outcome(integer, bigint, offer_outcome, integer, text) IS 'An agent did not take the call: his penalty, and what the caller gets now.';

CREATE FUNCTION acd_fail_offer(p_offer offer, p_outcome offer_outcome, p_code integer, p_cause text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_retry integer;
BEGIN
    PERFORM acd_close_offer(p_offer, p_outcome, p_code, p_cause, 'agent', p_now);
    IF NOT EXISTS (SELECT FROM offer WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id AND state <> 'ended') THEN
        SELECT retry_seconds INTO v_retry FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
        PERFORM acd_rewait(p_offer.tenant_id, p_offer.entry_id, p_outcome::text, v_retry, p_now);
    END IF;
    PERFORM acd_match(p_offer.tenant_id, p_now, p_agent => p_offer.agent_id);
END $$;
COMMENT ON FUNCTION acd_fail_offer(offer, offer_outcome, integer, text, timestamptz) IS 'Ends an offer without an answer; the entry waits again when it was the last one.';

CREATE FUNCTION acd_finish(p_tenant integer, p_offer bigint, p_by text, p_cause text DEFAULT '', p_next text DEFAULT 'end', p_data jsonb DEFAULT '{}')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    v_wrapup integer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS DISTINCT FROM 'answered' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    v_wrapup := dial_wrapup(o);
    PERFORM acd_close_offer(o, 'answered', NULL, p_cause, p_by, v_now, v_wrapup);
    IF p_next = 'queue' THEN
        PERFORM acd_rewait(p_tenant, o.entry_id, 'the agent left', 0, v_now);
    ELSE
        PERFORM acd_end_entry(p_tenant, o.entry_id, 'served', p_by, p_data || jsonb_build_object('cause', p_cause), v_now);
    END IF;
    PERFORM acd_match(p_tenant, v_now, p_agent => o.agent_id);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_finish(integer, bigint, text, text, text, jsonb) IS 'The conversation with an agent is over: wrap-up for him; the entry ends, or waits again.';

CREATE FUNCTION acd_end(p_tenant integer, p_entry bigint, p_reason entry_end, p_data jsonb DEFAULT '{}') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF e.state IS NULL OR e.state = 'ended' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    v_freed := acd_close_offers(p_tenant, p_entry, 'caller_gone', 'the caller is gone', coalesce(p_data ->> 'by', 'caller'), v_now);
    IF e.state = 'talking' THEN
        PERFORM acd_end_entry(p_tenant, p_entry, CASE p_reason WHEN 'abandoned' THEN 'served' ELSE p_reason END, coalesce(p_data ->> 'by', 'caller'), p_data, v_now);
    ELSIF p_reason IN ('abandoned', 'served', 'host_lost', 'cancelled') THEN
        PERFORM acd_end_entry(p_tenant, p_entry, p_reason, coalesce(p_data ->> 'by', 'caller'), p_data, v_now);
    ELSE
        PERFORM acd_leave_by(p_tenant, p_entry, p_reason, coalesce(p_data ->> 'by', 'caller'), v_now);
    END IF;
    PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_end(integer, bigint, entry_end, jsonb) IS 'The caller is gone, or leaves for a reason, in whatever state he is.';

CREATE FUNCTION acd_leave_by(p_tenant integer, p_entry bigint, p_reason entry_end, p_by text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The entry may have had offers, which are closed; it must be waiting to be moved by its overflow.
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry SET state = 'waiting', state_at = p_now WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO STRICT e;
    IF acd_leave(e, p_reason, p_by, p_now) THEN
        PERFORM acd_admit(p_tenant, p_entry, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_leave_by(integer, bigint, entry_end, text, timestamptz) IS 'An entry without open offers leaves its queue; if that leads to another queue, it is matched there.';

CREATE FUNCTION acd_requeue(p_tenant integer, p_entry bigint, p_cause text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF e.state IN ('offered', 'talking') THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', p_cause, 'system', v_now);
        PERFORM acd_rewait(p_tenant, p_entry, p_cause, 0, v_now);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    ELSIF e.state IN ('waiting', 'arriving') THEN
        PERFORM acd_send_place(e);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_requeue(integer, bigint, text) IS 'The caller waits again, with his place.';

CREATE FUNCTION acd_hold(p_tenant integer, p_offer bigint, p_side text, p_on boolean) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
BEGIN
    UPDATE offer
    SET hold_ms = hold_ms + CASE WHEN NOT p_on THEN coalesce(acd_ms(held_since, v_now), 0) ELSE 0 END,
        held_since = CASE WHEN p_on THEN coalesce(held_since, v_now) END
    WHERE tenant_id = p_tenant AND offer_id = p_offer AND state = 'answered' RETURNING * INTO o;
    IF FOUND THEN
        PERFORM acd_note(v_now, p_tenant, CASE WHEN p_on THEN 'call.hold' ELSE 'call.unhold' END, o.queue_id, o.entry_id, p_offer, o.agent_id, o.call_id,
                         jsonb_build_object('side', p_side));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_hold(integer, bigint, text, boolean) IS 'A side of a conversation holds the other, or no more.';

CREATE FUNCTION acd_survey(p_tenant integer, p_entry bigint, p_score integer) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
BEGIN
    UPDATE queue_entry SET survey = p_score WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO STRICT e;
    PERFORM acd_note(v_now, p_tenant, 'call.survey', e.queue_id, p_entry, NULL, e.agent_id, e.call_id, jsonb_build_object('score', p_score));
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_survey(integer, bigint, integer) IS 'The caller''s mark of the conversation, 1 to 5.';
