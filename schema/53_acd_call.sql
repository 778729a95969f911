-- Call distribution: the transitions of a call, called by proxies and media hosts (docs/acd.md, section 3).

-- ------------------------------------------------------------------------------------------- parts

CREATE FUNCTION acd_order(p_queue queue, p_priority integer, p_since timestamptz, OUT class integer, OUT at timestamptz)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_queue.ageing_seconds IS NULL THEN
        class := p_queue.priority + p_priority;
        at := p_since;
    ELSE
        class := p_queue.priority;
        at := p_since - make_interval(secs => p_priority::double precision * p_queue.ageing_seconds);
    END IF;
END $$;
COMMENT ON FUNCTION acd_order(queue, integer, timestamptz) IS 'Place of an entry: higher class first, then the earlier time. callcore/call_queue.py caller_order computes the same.';

CREATE FUNCTION acd_staffed(p_tenant integer, p_queue integer, p_rule queue_staffing) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_rule = 'always' OR EXISTS (
        SELECT FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
        WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND a.state <> 'offline'
          AND (p_rule = 'logged_in' OR a.state <> 'paused'));
END $$;
COMMENT ON FUNCTION acd_staffed(integer, integer, queue_staffing) IS 'Whether a queue has the agents that a rule asks for.';

CREATE FUNCTION acd_refusal(p_entry queue_entry) RETURNS entry_end LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_reason entry_end;
BEGIN
    SELECT CASE WHEN NOT (q.enabled AND l.is_open) THEN 'closed'::entry_end
                WHEN NOT acd_staffed(q.tenant_id, q.queue_id, q.join_when) THEN 'empty'::entry_end END
    INTO STRICT v_reason
    FROM queue q JOIN queue_live l USING (tenant_id, queue_id)
    WHERE q.tenant_id = p_entry.tenant_id AND q.queue_id = p_entry.queue_id;
    RETURN v_reason;
END $$;
COMMENT ON FUNCTION acd_refusal(queue_entry) IS 'Why a queue does not take a newcomer: closed or empty; null: it does.';

CREATE FUNCTION acd_is_full(p_entry queue_entry) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
-- Callers who wait, this one among them; callbacks take no line.
DECLARE
    v_size integer;
BEGIN
    SELECT max_size INTO v_size FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    RETURN v_size IS NOT NULL AND v_size < (
        SELECT count(*) FROM queue_entry
        WHERE queue_id = p_entry.queue_id AND state = 'waiting' AND kind = 'call');
END $$;
COMMENT ON FUNCTION acd_is_full(queue_entry) IS 'Whether more callers wait than the queue allows.';

CREATE FUNCTION acd_end_entry(
    p_tenant integer, p_entry bigint, p_reason entry_end, p_by text, p_data jsonb, p_now timestamptz, p_tell boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry
    SET state = 'ended', state_at = p_now, ended_at = p_now, end_reason = p_reason, ended_by = p_by, due_at = NULL,
        waited_ms = coalesce(waited_ms, acd_ms(since, p_now))
    WHERE tenant_id = p_tenant AND entry_id = p_entry
    RETURNING * INTO STRICT e;
    DELETE FROM leg WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM acd_note(p_now, p_tenant, 'entry.end', e.queue_id, p_entry, NULL, e.agent_id, e.call_id, p_data || jsonb_build_object(
        'reason', p_reason, 'by', p_by, 'waited_seconds', e.waited_ms / 1000.0, 'talk_seconds', e.talk_ms / 1000.0,
        'kind', e.kind, 'caller', e.caller));
    IF p_tell AND e.holder = current_setting('acd.caller') THEN
        PERFORM acd_send(e.holder, p_tenant, 'ended', p_entry, NULL, jsonb_build_object(
            'end_reason', p_reason, 'waited_seconds', e.waited_ms / 1000.0, 'talk_seconds', e.talk_ms / 1000.0));
    END IF;
END $$;
COMMENT ON FUNCTION acd_end_entry(integer, bigint, entry_end, text, jsonb, timestamptz, boolean) IS 'Ends an entry that has no open offer.';

CREATE FUNCTION acd_move_entry(p_entry queue_entry, p_queue queue, p_by text, p_cause text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_entry
    SET queue_id = p_queue.queue_id, entered_at = p_now, hops = hops + 1, assigned_agent = NULL,
        leave_at = CASE kind WHEN 'call' THEN p_now + acd_seconds(p_queue.max_wait_seconds) END,
        order_class = (acd_order(p_queue, priority, since)).class, order_at = (acd_order(p_queue, priority, since)).at
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.move', p_queue.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id,
        jsonb_build_object('from', p_entry.queue_id, 'to', p_queue.queue_id, 'by', p_by, 'cause', p_cause,
                           'waited_seconds', acd_ms(p_entry.entered_at, p_now) / 1000.0,
                           'service_level_seconds', p_queue.service_level_seconds, 'short_abandon_seconds', p_queue.short_abandon_seconds));
    IF p_entry.anchored THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'move', p_entry.entry_id, NULL, jsonb_build_object(
            'settings', acd_settings(p_queue.tenant_id, p_queue.queue_id), 'reason', p_cause));
    END IF;
END $$;
COMMENT ON FUNCTION acd_move_entry(queue_entry, queue, text, text, timestamptz) IS 'Puts a waiting entry into another queue, with the time that it has waited.';

CREATE FUNCTION acd_leave(p_entry queue_entry, p_reason entry_end, p_by text, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
-- True: the overflow target is a queue and the entry is in it now; else the entry has ended.
DECLARE
    v_target jsonb;
    v_queue queue;
BEGIN
    SELECT overflow -> p_reason::text INTO v_target FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    IF v_target ->> 'kind' = 'queue' AND p_entry.hops < 8 THEN
        SELECT * INTO v_queue FROM queue WHERE tenant_id = p_entry.tenant_id AND name = v_target ->> 'value';
        IF FOUND THEN
            PERFORM acd_move_entry(p_entry, v_queue, p_by, p_reason::text, p_now);
            PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'play', p_entry.entry_id, NULL, jsonb_build_object('prompt', v_target ->> 'announcement'))
            WHERE p_entry.anchored AND v_target ->> 'announcement' <> '';
            RETURN true;
        END IF;
    END IF;
    PERFORM acd_end_entry(p_entry.tenant_id, p_entry.entry_id, p_reason, p_by, '{}', p_now, p_tell => false);
    IF p_entry.kind = 'call' OR p_entry.anchored THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'leave', p_entry.entry_id, NULL, jsonb_build_object(
            'reason', p_reason, 'to_kind', v_target ->> 'kind', 'to', v_target ->> 'value',
            'announcement', coalesce(v_target ->> 'announcement', '')));
    END IF;
    RETURN false;
END $$;
COMMENT ON FUNCTION acd_leave(queue_entry, entry_end, text, timestamptz) IS 'An entry leaves its queue unserved, to the overflow target of the reason.';

CREATE FUNCTION acd_admit(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The size is looked at after matching: a queue of size 0 still gives calls to free agents.
DECLARE
    e queue_entry;
    v_reason entry_end;
BEGIN
    LOOP
        SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
        v_reason := acd_refusal(e);
        IF v_reason IS NULL THEN
            IF acd_may_ring(e) THEN
                PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
            END IF;
            SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
            EXIT WHEN e.state <> 'waiting' OR NOT acd_is_full(e);
            v_reason := 'full';
        END IF;
        EXIT WHEN NOT acd_leave(e, v_reason, 'system', p_now);
    END LOOP;
    PERFORM acd_tell_place(p_tenant, p_entry, p_now);
END $$;
COMMENT ON FUNCTION acd_admit(integer, bigint, timestamptz) IS 'A newcomer to a queue: matched, told his place, or sent where the queue''s overflow leads.';

CREATE FUNCTION acd_may_ring(p_entry queue_entry) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_entry.anchored OR p_entry.kind = 'callback' OR NOT (
        SELECT anchored FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id);
END $$;
COMMENT ON FUNCTION acd_may_ring(queue_entry) IS 'Whether who holds the call may ring an agent for it: a proxy not, when the queue needs a media host.';

CREATE FUNCTION acd_tell_place(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- A proxy cannot hold a caller: it brings him to a host, until then he keeps his place but is not matched.
DECLARE
    e queue_entry;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    IF e.state <> 'waiting' OR e.kind = 'callback' AND NOT e.anchored THEN
        RETURN;
    END IF;
    IF NOT e.anchored THEN
        -- A proxy that did not ask hears of it when the phone that it rings has fallen silent, at the latest by itself.
        UPDATE queue_entry SET state = 'arriving', state_at = p_now,
            due_at = p_now + acd_seconds(10 + CASE WHEN e.holder = current_setting('acd.caller') THEN 0 ELSE (
                SELECT ring_seconds FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id) END)
        WHERE tenant_id = p_tenant AND entry_id = p_entry;
    END IF;
    PERFORM acd_send_place(e);
END $$;
COMMENT ON FUNCTION acd_tell_place(integer, bigint, timestamptz) IS 'Tells the holder of an entry that it waits.';

CREATE FUNCTION acd_next_agent(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Nobody performs commands to a proxy: it takes an agent's phone off the line (ks-acd) and then asks what comes next.
BEGIN
    IF EXISTS (SELECT FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND (anchored OR kind = 'callback')) THEN
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
    ELSE
        PERFORM acd_tell_place(p_tenant, p_entry, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_next_agent(integer, bigint, timestamptz) IS 'Somebody else than its holder decided about a waiting entry: it is matched, or brought to a media host that rings for it.';

CREATE FUNCTION acd_send_place(p_entry queue_entry) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'wait', p_entry.entry_id, NULL, jsonb_build_object(
        'settings', acd_settings(p_entry.tenant_id, p_entry.queue_id),
        'position', (SELECT count(*) FROM queue_entry o
                     WHERE o.queue_id = p_entry.queue_id AND o.state = 'waiting'
                       AND (o.order_class > p_entry.order_class
                            OR o.order_class = p_entry.order_class AND (o.order_at, o.entry_id) < (p_entry.order_at, p_entry.entry_id))) + 1,
        'hosts', CASE WHEN p_entry.anchored THEN '[]' ELSE (
            SELECT coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'address', h.address)), '[]') FROM (SELECT * FROM acd_hosts() LIMIT 3) h) END));
END $$;
COMMENT ON FUNCTION acd_send_place(queue_entry) IS 'Sends wait, with place and (to a proxy) media hosts.';

CREATE FUNCTION acd_close_offer(
    p_offer offer, p_outcome offer_outcome, p_code integer, p_cause text, p_by text, p_now timestamptz, p_wrapup integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
-- p_wrapup null: the agent did not talk. Each outcome has its own delay, and its own count before he is paused.
DECLARE
    q queue;
    v_delay integer := 0;
    v_limit integer;
    v_count integer;
    v_talk bigint := CASE WHEN p_offer.joined_at IS NOT NULL THEN acd_ms(p_offer.joined_at, p_now) END;
    v_hold bigint := p_offer.hold_ms + coalesce(acd_ms(p_offer.held_since, p_now), 0);
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    CASE p_outcome
        WHEN 'no_answer' THEN v_delay := q.no_answer_delay_seconds;
            v_limit := CASE WHEN dial_rings_agent(p_offer) THEN 1 ELSE q.no_answer_limit END;
        WHEN 'rejected' THEN v_delay := q.reject_delay_seconds; v_limit := q.reject_limit;
        WHEN 'busy' THEN v_delay := q.busy_delay_seconds; v_limit := q.busy_limit;
        WHEN 'unreachable' THEN v_delay := q.unreachable_delay_seconds; v_limit := q.unreachable_limit;
        WHEN 'lost' THEN v_delay := 5;  -- his phone may still ring
        ELSE NULL;
    END CASE;
    UPDATE offer
    SET state = 'ended', ended_at = p_now, outcome = p_outcome, code = p_code, cause = p_cause, hung_up_by = p_by, deadline_at = NULL, preview_until = NULL,
        ring_ms = coalesce(ring_ms, acd_ms(made_at, p_now)), talk_ms = v_talk, hold_ms = v_hold, held_since = NULL
    WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    UPDATE agent_live a
    SET offer_id = NULL, offer_state = NULL, event = CASE WHEN p_offer.state = 'answered' THEN 'call_end' ELSE 'offer_end' END,
        event_at = p_now, event_by = p_by,
        no_answers = no_answers + (p_outcome = 'no_answer')::integer, rejects = rejects + (p_outcome = 'rejected')::integer,
        busies = busies + (p_outcome = 'busy')::integer, unreachables = unreachables + (p_outcome = 'unreachable')::integer,
        not_before = CASE WHEN v_delay > 0 THEN greatest(not_before, p_now + acd_seconds(v_delay)) ELSE not_before END,
        wrapup_until = CASE WHEN p_wrapup > 0 THEN p_now + acd_seconds(p_wrapup) ELSE wrapup_until END,
        calls = calls + (p_outcome = 'answered')::integer, talk_seconds = talk_seconds + coalesce(v_talk, 0) / 1000,
        pause_reason = coalesce(pause_reason, CASE WHEN v_limit <= 1 + CASE p_outcome
            WHEN 'no_answer' THEN no_answers WHEN 'rejected' THEN rejects WHEN 'busy' THEN busies ELSE unreachables END
            THEN p_outcome::text END)
    WHERE a.tenant_id = p_offer.tenant_id AND a.agent_id = p_offer.agent_id AND a.offer_id = p_offer.offer_id;
    PERFORM acd_note(p_now, p_offer.tenant_id, 'offer.end', p_offer.queue_id, p_offer.entry_id, p_offer.offer_id, p_offer.agent_id, p_offer.call_id,
        jsonb_build_object('outcome', p_outcome, 'code', p_code, 'cause', p_cause, 'by', p_by, 'delay', v_delay,
            'ring_seconds', coalesce(p_offer.ring_ms, acd_ms(p_offer.made_at, p_now)) / 1000.0, 'talk_seconds', v_talk / 1000.0, 'hold_seconds', v_hold / 1000.0));
    IF p_outcome IN ('rejected', 'failed') THEN
        INSERT INTO rejection (tenant_id, caller, agent_id, until)
        VALUES (p_offer.tenant_id, acd_caller_key(p_offer.caller, p_offer.entry_id), p_offer.agent_id,
                p_now + acd_seconds(CASE p_outcome WHEN 'failed' THEN 60 ELSE q.reject_exclusion_seconds END))
        ON CONFLICT (tenant_id, caller, agent_id) DO UPDATE SET until = greatest(rejection.until, excluded.until);
    END IF;
    IF v_talk IS NOT NULL THEN
        UPDATE queue_entry SET talk_ms = talk_ms + v_talk WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id;
        UPDATE queue_live SET handle_seconds = coalesce(handle_seconds * 0.9, 0)
            + CASE WHEN handle_seconds IS NULL THEN 1 ELSE 0.1 END * (v_talk / 1000.0 + q.wrapup_seconds)
        WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    END IF;
END $$;
COMMENT ON FUNCTION acd_close_offer(offer, offer_outcome, integer, text, text, timestamptz, integer) IS 'Ends an offer: its outcome, the agent''s penalty, wrap-up and counters.';

CREATE FUNCTION acd_close_offers(
    p_tenant integer, p_entry bigint, p_outcome offer_outcome, p_cause text, p_by text, p_now timestamptz, p_keep bigint DEFAULT NULL
) RETURNS integer[] LANGUAGE plpgsql AS $$
-- A conversation ends as a conversation, whatever made it end.
DECLARE
    o offer;
    v_agents integer[] := '{}';
BEGIN
    FOR o IN SELECT * FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended'
                               AND offer_id IS DISTINCT FROM p_keep ORDER BY agent_id LOOP
        IF o.joined_at IS NOT NULL THEN
            PERFORM acd_close_offer(o, 'answered', NULL, p_cause, p_by, p_now,
                dial_wrapup(o));
        ELSE
            PERFORM acd_close_offer(o, p_outcome, NULL, p_cause, p_by, p_now);
        END IF;
        PERFORM acd_send(o.holder, p_tenant, 'cancel_offer', p_entry, o.offer_id, jsonb_build_object('reason', p_cause))
        WHERE o.joined_at IS NULL OR o.holder <> current_setting('acd.caller');
        v_agents := v_agents || o.agent_id;
    END LOOP;
    RETURN v_agents;
END $$;
COMMENT ON FUNCTION acd_close_offers(integer, bigint, offer_outcome, text, text, timestamptz, bigint) IS 'Ends the open offers of an entry (one may be kept) and tells the hosts; returns the agents, who are to be matched.';

CREATE FUNCTION acd_match_agents(p_tenant integer, p_agents integer[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_agent integer;
BEGIN
    FOREACH v_agent IN ARRAY p_agents LOOP
        PERFORM acd_match(p_tenant, p_now, p_agent => v_agent);
    END LOOP;
END $$;
COMMENT ON FUNCTION acd_match_agents(integer, integer[], timestamptz) IS 'Matches agents who may have become free.';

CREATE FUNCTION acd_rewait(p_tenant integer, p_entry bigint, p_cause text, p_retry integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry
    SET state = 'waiting', state_at = p_now, assigned_agent = NULL, not_before = CASE WHEN p_retry > 0 THEN p_now + acd_seconds(p_retry) END,
        -- A callback that nobody is on the line of may go on at another host.
        holder = CASE WHEN kind = 'callback' AND NOT anchored THEN NULL ELSE holder END
    WHERE tenant_id = p_tenant AND entry_id = p_entry
    RETURNING * INTO STRICT e;
    PERFORM acd_note(p_now, p_tenant, 'entry.wait', e.queue_id, p_entry, NULL, NULL, e.call_id, jsonb_build_object('cause', p_cause));
    IF e.leave_at <= p_now AND e.kind = 'call' THEN
        IF acd_leave(e, 'timeout', 'system', p_now) THEN
            PERFORM acd_admit(p_tenant, p_entry, p_now);
        END IF;
        RETURN;
    END IF;
    -- Nobody listens for commands to a proxy: it gets its next agent only in a reply.
    IF acd_may_ring(e) AND (e.anchored OR e.kind = 'callback' OR e.holder = current_setting('acd.caller')) THEN
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
    END IF;
    PERFORM acd_tell_place(p_tenant, p_entry, p_now);
END $$;
COMMENT ON FUNCTION acd_rewait(integer, bigint, text, integer, timestamptz) IS 'An entry without open offers waits again, with its place: next agent, or wait.';

-- ---------------------------------------------------------------------------------------------- enter

CREATE FUNCTION acd_new_entry(
    p_tenant integer, p_queue integer, p_call uuid, p_holder text, p_anchored boolean, p_caller text, p_options jsonb, p_now timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    q queue;
    v_priority integer := coalesce((p_options ->> 'priority')::integer, 0);
    v_since timestamptz := least(p_now, coalesce((p_options ->> 'since')::timestamptz, p_now));
    v_sticky integer;
    v_entry bigint;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    IF q.sticky_seconds IS NOT NULL AND p_caller <> '' THEN
        SELECT agent_id INTO v_sticky
        FROM last_agent JOIN agent_live a USING (tenant_id, agent_id)
        WHERE tenant_id = p_tenant AND caller = p_caller AND at > p_now - make_interval(days => q.sticky_days)
          AND a.state NOT IN ('offline', 'paused')
          AND EXISTS (SELECT FROM queue_member m WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND m.agent_id = a.agent_id);
    END IF;
    INSERT INTO queue_entry (tenant_id, queue_id, state, call_id, caller, caller_name, priority, since, entered_at, order_class, order_at,
                             holder, anchored, proxy, state_at, leave_at, assigned_agent, sticky_agent, sticky_until, variables)
    VALUES (p_tenant, p_queue, 'waiting', p_call, p_caller, coalesce(p_options ->> 'caller_name', ''), v_priority, v_since, p_now,
            (acd_order(q, v_priority, v_since)).class, (acd_order(q, v_priority, v_since)).at, p_holder, p_anchored, p_options ->> 'proxy',
            p_now, p_now + acd_seconds(q.max_wait_seconds), (p_options ->> 'agent')::integer,
            v_sticky, CASE WHEN v_sticky IS NOT NULL THEN v_since + acd_seconds(q.sticky_seconds) END, coalesce(p_options -> 'variables', '{}'))
    RETURNING entry_id INTO v_entry;
    PERFORM acd_note(p_now, p_tenant, 'entry.enter', p_queue, v_entry, NULL, NULL, p_call, jsonb_build_object(
        'caller', p_caller, 'priority', q.priority + v_priority, 'since', v_since, 'anchored', p_anchored, 'sticky', v_sticky,
        'service_level_seconds', q.service_level_seconds, 'short_abandon_seconds', q.short_abandon_seconds));
    RETURN v_entry;
END $$;
COMMENT ON FUNCTION acd_new_entry(integer, integer, uuid, text, boolean, text, jsonb, timestamptz) IS 'Makes a waiting entry; not matched yet.';

CREATE FUNCTION acd_enter_again(p_entry queue_entry, p_holder text, p_anchored boolean, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The call is known: a retry of the same node, or a media host that takes over from a proxy or from another host.
DECLARE
    v_agents integer[] := '{}';
BEGIN
    IF p_entry.holder = p_holder AND p_entry.state = 'offered' THEN
        PERFORM acd_send(p_holder, p_entry.tenant_id, 'offer_agent', p_entry.entry_id, o.offer_id, acd_offer_data(p_entry, q, o.agent_id, o.forced, p_now))
        FROM offer o JOIN queue q USING (tenant_id, queue_id)
        WHERE o.tenant_id = p_entry.tenant_id AND o.entry_id = p_entry.entry_id AND o.state <> 'ended';
    ELSIF p_entry.holder = p_holder AND p_entry.state IN ('waiting', 'arriving') AND p_entry.anchored = p_anchored THEN
        PERFORM acd_send_place(p_entry);
    ELSIF p_entry.state <> 'talking' THEN
        IF p_entry.state = 'offered' THEN
            v_agents := acd_close_offers(p_entry.tenant_id, p_entry.entry_id, 'cancelled', 'another node has the call now', 'system', p_now);
        END IF;
        UPDATE queue_entry SET state = 'waiting', state_at = p_now, holder = p_holder, anchored = p_anchored, missing_since = NULL,
            due_at = CASE WHEN state <> 'lost' THEN due_at END  -- the grace time is over with the loss
        WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.adopt', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id,
                         jsonb_build_object('from', p_entry.holder, 'to', p_holder));
        PERFORM acd_match(p_entry.tenant_id, p_now, p_entry => p_entry.entry_id) WHERE p_anchored;
        PERFORM acd_tell_place(p_entry.tenant_id, p_entry.entry_id, p_now);
        PERFORM acd_match_agents(p_entry.tenant_id, v_agents, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_enter_again(queue_entry, text, boolean, timestamptz) IS 'acd_enter for a call that has an entry already.';

CREATE FUNCTION acd_return(p_entry queue_entry, p_call uuid, p_holder text, p_anchored boolean, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_entry SET state = 'waiting', state_at = p_now, call_id = p_call, holder = p_holder, anchored = p_anchored, missing_since = NULL, due_at = NULL
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.return', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_call,
        jsonb_build_object('call_before', p_entry.call_id, 'since', p_entry.since, 'caller', p_entry.caller));
    PERFORM acd_match(p_entry.tenant_id, p_now, p_entry => p_entry.entry_id)
    FROM queue_entry e WHERE e.tenant_id = p_entry.tenant_id AND e.entry_id = p_entry.entry_id AND acd_may_ring(e);
    PERFORM acd_tell_place(p_entry.tenant_id, p_entry.entry_id, p_now);
END $$;
COMMENT ON FUNCTION acd_return(queue_entry, uuid, text, boolean, timestamptz) IS 'A caller whose call was lost redials and finds his place.';

CREATE FUNCTION acd_enter(
    p_tenant integer, p_queue integer, p_call uuid, p_holder text, p_anchored boolean, p_caller text, p_options jsonb DEFAULT '{}'
) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant, p_holder);
    e queue_entry;
    v_entry bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE call_id = p_call AND state <> 'ended' AND kind = 'call' AND tenant_id = p_tenant;
    IF FOUND THEN
        v_entry := e.entry_id;
        PERFORM acd_enter_again(e, p_holder, p_anchored, v_now);
    ELSE
        SELECT * INTO e FROM queue_entry WHERE queue_id = p_queue AND caller = p_caller AND state = 'lost' AND caller <> '' AND tenant_id = p_tenant
        ORDER BY since LIMIT 1;
        IF FOUND THEN
            v_entry := e.entry_id;
            PERFORM acd_return(e, p_call, p_holder, p_anchored, v_now);
        ELSE
            v_entry := acd_new_entry(p_tenant, p_queue, p_call, p_holder, p_anchored, p_caller, p_options, v_now);
            PERFORM acd_admit(p_tenant, v_entry, v_now);
        END IF;
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, v_entry);
END $$;
COMMENT ON FUNCTION acd_enter(integer, integer, uuid, text, boolean, text, jsonb) IS 'A call comes to a queue: offer_agent, wait or leave. Idempotent by call.';
