-- Call distribution: what agents and supervisors do (docs/acd.md, section 5).

-- ---------------------------------------------------------------------------------------------- agents

CREATE FUNCTION acd_agent_event(
    p_tenant integer, p_agent integer, p_kind text, p_by text, p_data jsonb, p_now timestamptz
) RETURNS agent_state LANGUAGE plpgsql AS $$
-- Last part of every change that a person makes to an agent.
BEGIN
    PERFORM acd_note(p_now, p_tenant, p_kind, NULL, NULL, NULL, p_agent, NULL, p_data || jsonb_build_object('by', p_by));
    PERFORM acd_match(p_tenant, p_now, p_agent => p_agent);
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN (SELECT state FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent);
END $$;
COMMENT ON FUNCTION acd_agent_event(integer, integer, text, text, jsonb, timestamptz) IS 'Writes the event, matches, returns the new state.';

CREATE FUNCTION acd_login(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- A login begins a new count of calls; one that is repeated changes nothing but takes a pause away.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET logged_in = true, event = 'login', event_at = v_now, event_by = p_by, pause_reason = NULL,
        login_at = CASE WHEN logged_in THEN login_at ELSE v_now END,
        wrapup_until = CASE WHEN logged_in THEN wrapup_until END, not_before = CASE WHEN logged_in THEN not_before END,
        calls = CASE WHEN logged_in THEN calls ELSE 0 END, talk_seconds = CASE WHEN logged_in THEN talk_seconds ELSE 0 END,
        no_answers = 0, rejects = 0, busies = 0, unreachables = 0
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.login', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_login(integer, integer, text) IS 'An agent begins his shift.';

CREATE FUNCTION acd_logout(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET logged_in = false, event = 'logout', event_at = v_now, event_by = p_by, wrapup_until = NULL, not_before = NULL
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    PERFORM dial_preview_drop(p_tenant, p_agent, 'the agent logged out', v_now);
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.logout', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_logout(integer, integer, text) IS 'An agent ends his shift; a queue call that he is in goes on.';

CREATE FUNCTION acd_pause(p_tenant integer, p_agent integer, p_reason text, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Another reason than before begins a new interval.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET pause_reason = p_reason, event = 'pause', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    PERFORM dial_preview_drop(p_tenant, p_agent, 'the agent pauses', v_now);
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.pause', p_by, jsonb_build_object('reason', p_reason), v_now);
END $$;
COMMENT ON FUNCTION acd_pause(integer, integer, text, text) IS 'An agent pauses now, or after the call and wrap-up that he is in.';

CREATE FUNCTION acd_resume(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET pause_reason = NULL, no_answers = 0, rejects = 0, busies = 0, unreachables = 0, event = 'resume', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.resume', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_resume(integer, integer, text) IS 'An agent''s pause is over.';

CREATE FUNCTION acd_wrapup(p_tenant integer, p_agent integer, p_seconds integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Only for who has no call: the wrap-up of a call that goes on begins at its end.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live
    SET wrapup_until = CASE WHEN p_seconds > 0 THEN v_now + acd_seconds(p_seconds) END, event = 'wrapup', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND state IN ('wrapup', 'free', 'paused');
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.wrapup', p_by, jsonb_build_object('seconds', p_seconds), v_now);
END $$;
COMMENT ON FUNCTION acd_wrapup(integer, integer, integer, text) IS 'Wrap-up lasts so many seconds from now; 0 ends it.';

CREATE FUNCTION acd_free(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live
    SET wrapup_until = NULL, pause_reason = NULL, not_before = NULL, no_answers = 0, rejects = 0, busies = 0, unreachables = 0,
        event = 'free', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.free', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_free(integer, integer, text) IS 'A supervisor ends an agent''s wrap-up, pause and penalties.';

CREATE FUNCTION acd_release(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Whatever holds him: an offer ends as lost (a conversation as a conversation), dialogs are forgotten.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_held jsonb;
    o offer;
BEGIN
    SELECT jsonb_build_object('state', state, 'offer', offer_id, 'legs', legs, 'for_seconds', acd_ms(state_at, v_now) / 1000.0)
    INTO v_held FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent;
    SELECT * INTO o FROM offer WHERE agent_id = p_agent AND state <> 'ended' AND tenant_id = p_tenant;
    IF FOUND THEN
        PERFORM acd_send(o.holder, p_tenant, 'cancel_offer', o.entry_id, o.offer_id, '{"reason": "released"}');
        IF o.joined_at IS NOT NULL THEN
            PERFORM acd_close_offer(o, 'answered', NULL, 'released', p_by, v_now);
            PERFORM acd_end_entry(p_tenant, o.entry_id, 'served', p_by, '{"cause": "released"}', v_now);
        ELSE
            PERFORM acd_fail_offer(o, 'lost', NULL, 'released', v_now);
        END IF;
    END IF;
    DELETE FROM agent_leg WHERE tenant_id = p_tenant AND agent_id = p_agent;
    UPDATE agent_live SET legs = 0, wrapup_until = NULL, not_before = NULL, event = 'release', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND offer_id IS NULL;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.release', p_by, v_held, v_now);
END $$;
COMMENT ON FUNCTION acd_release(integer, integer, text) IS 'Takes from an agent whatever holds him wrongly; the event says what that was.';

-- --------------------------------------------------------------------------------------------- entries

CREATE FUNCTION acd_priority(p_tenant integer, p_entry bigint, p_priority integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended';
    IF FOUND THEN
        SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
        UPDATE queue_entry SET priority = p_priority - q.priority,
            order_class = (acd_order(q, p_priority - q.priority, since)).class, order_at = (acd_order(q, p_priority - q.priority, since)).at
        WHERE tenant_id = p_tenant AND entry_id = p_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.priority', e.queue_id, p_entry, NULL, NULL, e.call_id,
                         jsonb_build_object('from', q.priority + e.priority, 'to', p_priority, 'by', p_by));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_priority(integer, bigint, integer, text) IS 'A supervisor changes the priority of a waiting caller.';

CREATE FUNCTION acd_move(p_tenant integer, p_entry bigint, p_queue integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state IN ('waiting', 'offered');
    IF FOUND AND e.queue_id <> p_queue AND (e.kind = 'call' OR acd_older_callback(p_tenant, p_queue, e.number) IS NULL) THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'moved by a supervisor', p_by, v_now);
        UPDATE queue_entry SET state = 'waiting', state_at = v_now, hops = 0 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
        PERFORM acd_move_entry(e, q, p_by, 'supervisor', v_now);
        PERFORM acd_next_agent(p_tenant, p_entry, v_now);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'move', p_entry, NULL, '{}');
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL, '{}');
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_move(integer, bigint, integer, text) IS 'A supervisor moves a waiting caller to another queue, with the time that he has waited: move or too_late.';

CREATE FUNCTION acd_eject(p_tenant integer, p_entry bigint, p_to_kind text DEFAULT NULL, p_to text DEFAULT NULL, p_by text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state NOT IN ('ended', 'talking');
    IF FOUND THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'ejected', p_by, v_now);
        PERFORM acd_end_entry(p_tenant, p_entry, CASE e.kind WHEN 'call' THEN 'ejected'::entry_end ELSE 'cancelled' END, p_by, '{}', v_now);
        PERFORM acd_send(e.holder, p_tenant, 'leave', p_entry, NULL, jsonb_build_object('reason', 'ejected', 'to_kind', p_to_kind, 'to', p_to, 'announcement', ''), p_by)
        WHERE e.state <> 'lost' AND (e.kind = 'call' OR e.anchored);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'ended', p_entry, NULL, '{}');
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL, '{}');
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_eject(integer, bigint, text, text, text) IS 'A supervisor sends a waiting caller away (or somewhere), or takes a callback back: ended or too_late.';

CREATE FUNCTION acd_assign(p_tenant integer, p_entry bigint, p_agent integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- At once, whatever the agent's state, unless he is in a call: then he gets this caller before any other.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state IN ('waiting', 'offered');
    IF NOT FOUND OR acd_callable(p_tenant, p_agent) = 'gone' THEN
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL,
                         jsonb_build_object('reason', CASE WHEN FOUND THEN 'gone' ELSE 'ended' END));
    ELSE
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'given to an agent by a supervisor', p_by, v_now);
        UPDATE queue_entry SET state = 'waiting', state_at = v_now, assigned_agent = p_agent, not_before = NULL WHERE tenant_id = p_tenant AND entry_id = p_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.assign', e.queue_id, p_entry, NULL, p_agent, e.call_id, jsonb_build_object('by', p_by));
        PERFORM acd_next_agent(p_tenant, p_entry, v_now);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, CASE WHEN state = 'offered' OR state = 'arriving' AND acd_callable(p_tenant, p_agent) = 'now'
                                                                       THEN 'offer_agent' ELSE 'wait' END, p_entry, NULL, '{}')
        FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_assign(integer, bigint, integer, text) IS 'A supervisor gives a waiting caller to an agent: offer_agent (at once), wait (he is next) or too_late (no such caller, phone gone).';

CREATE FUNCTION acd_command(p_tenant integer, p_entry bigint, p_kind text, p_data jsonb, p_by text DEFAULT '') RETURNS bigint LANGUAGE plpgsql AS $$
-- The caller is never a host, so the command is stored and has an id.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_id bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended' AND anchored AND holder IS NOT NULL;
    IF FOUND THEN
        v_id := acd_send(e.holder, p_tenant, p_kind, p_entry, (
            SELECT offer_id FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state = 'answered'), p_data || jsonb_build_object('call', e.call_id), p_by);
        PERFORM acd_note(v_now, p_tenant, 'call.' || p_kind, e.queue_id, p_entry, NULL, e.agent_id, e.call_id, p_data || jsonb_build_object('by', p_by, 'command', v_id));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_id;
END $$;
COMMENT ON FUNCTION acd_command(integer, bigint, text, jsonb, text) IS 'An order to the host that has a call; null: no host has it (direct call, or over).';

-- --------------------------------------------------------------------------------------- configuration

CREATE FUNCTION acd_queue_changed(p_tenant integer, p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
-- Everything that was computed from the queue's configuration, computed again.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_agent integer;
    v_host text;
    v_entries jsonb;
    q queue;
    e queue_entry;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    UPDATE queue_live SET
        steps = ARRAY(SELECT DISTINCT step FROM (SELECT unnest(q.tier_waits) AS step UNION SELECT after_seconds FROM queue_skill
                                                 WHERE tenant_id = p_tenant AND queue_id = p_queue) s WHERE step > 0 ORDER BY step),
        skilled = EXISTS (SELECT FROM queue_skill WHERE tenant_id = p_tenant AND queue_id = p_queue)
    WHERE tenant_id = p_tenant AND queue_id = p_queue;
    DELETE FROM ready_agent WHERE queue_id = p_queue;
    FOR v_agent IN SELECT m.agent_id FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
                   WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND a.ready LOOP
        PERFORM acd_make_ready(p_tenant, v_agent);
    END LOOP;
    FOR e IN UPDATE queue_entry SET order_class = (acd_order(q, priority, since)).class, order_at = (acd_order(q, priority, since)).at,
                    leave_at = CASE kind WHEN 'call' THEN entered_at + acd_seconds(q.max_wait_seconds) END
             WHERE tenant_id = p_tenant AND queue_id = p_queue AND state IN ('waiting', 'offered', 'lost') RETURNING * LOOP
        PERFORM acd_set_due(e, v_now) WHERE e.state = 'waiting';
    END LOOP;
    FOR v_host, v_entries IN SELECT holder, jsonb_agg(entry_id) FROM queue_entry
                             WHERE queue_id = p_queue AND state IN ('waiting', 'offered') AND anchored GROUP BY holder LOOP
        PERFORM acd_send(v_host, p_tenant, 'settings', NULL, NULL, jsonb_build_object('settings', acd_settings(p_tenant, p_queue), 'entries', v_entries));
    END LOOP;
    PERFORM acd_match_queue(p_tenant, p_queue, v_now);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_queue_changed(integer, integer) IS 'After a queue, its members or its skills were changed: order, ready agents, hosts, match.';

CREATE FUNCTION acd_agent_changed(p_tenant integer, p_agent integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live l
    SET enabled = a.enabled, registered = CASE WHEN a.number IS NOT NULL THEN true ELSE l.registered AND l.external IS FALSE END,
        external = a.number IS NOT NULL, event = 'change', event_at = v_now, event_by = 'configuration'
    FROM agent a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND l.tenant_id = p_tenant AND l.agent_id = p_agent;
    PERFORM acd_make_ready(p_tenant, p_agent);
    PERFORM acd_match(p_tenant, v_now, p_agent => p_agent);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_agent_changed(integer, integer) IS 'After an agent, his phone, memberships or skills were changed.';

CREATE FUNCTION acd_set_open(p_tenant integer, p_queue integer, p_open boolean, p_callback_open boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE queue_live SET is_open = p_open, callback_open = p_callback_open WHERE tenant_id = p_tenant AND queue_id = p_queue;
    PERFORM acd_note(v_now, p_tenant, CASE WHEN p_open THEN 'queue.open' ELSE 'queue.close' END, p_queue, NULL, NULL, NULL, NULL,
                     jsonb_build_object('callback_open', p_callback_open));
    PERFORM acd_match_queue(p_tenant, p_queue, v_now);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_set_open(integer, integer, boolean, boolean) IS 'The opening hours of a queue (and those of its callbacks) begin or end: newcomers are refused while it is closed, who waits is served.';

CREATE FUNCTION acd_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('kalibri.actor', true), ''), session_user::text);
$$;
COMMENT ON FUNCTION acd_actor() IS 'Who does this, for the events: what the session says of itself (kalibri.actor), else its role.';
