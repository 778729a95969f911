-- Call distribution: callbacks, transfers, replay of an outage, partitions (docs/acd.md, sections 3 and 7).

-- ------------------------------------------------------------------------------------------- callbacks

CREATE FUNCTION acd_older_callback(p_tenant integer, p_queue integer, p_number text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT entry_id FROM queue_entry
            WHERE tenant_id = p_tenant AND queue_id = p_queue AND number = p_number AND kind = 'callback' AND state <> 'ended');
END $$;
COMMENT ON FUNCTION acd_older_callback(integer, integer, text) IS 'The callback of a number that a queue has already.';

CREATE FUNCTION acd_callback(p_tenant integer, p_entry bigint, p_number text, p_options jsonb DEFAULT '{}') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF NOT coalesce(q.callback_enabled, false) OR e.state NOT IN ('waiting', 'arriving', 'offered') OR e.kind = 'callback' THEN
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'leave', p_entry, NULL, '{"reason": "refused", "to_kind": null, "to": null, "announcement": ""}');
    ELSE
        v_freed := acd_close_offers(p_tenant, p_entry, 'caller_gone', 'the caller asked for a callback', 'caller', v_now);
        IF acd_older_callback(p_tenant, e.queue_id, p_number) IS NOT NULL THEN
            PERFORM acd_end_entry(p_tenant, p_entry, 'callback', 'caller', jsonb_build_object(
                'number', p_number, 'kept', acd_older_callback(p_tenant, e.queue_id, p_number)), v_now);
        ELSE
            UPDATE queue_entry SET state = 'waiting' WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'waiting';
            UPDATE queue_entry
            SET kind = 'callback', state_at = v_now, holder = NULL, anchored = false, number = p_number, leave_at = NULL, not_before = NULL,
                callback_first = coalesce(p_options ->> 'first', q.callback_first), expires_at = v_now + acd_seconds(q.callback_expires_seconds),
                missing_since = NULL, assigned_agent = NULL
            WHERE tenant_id = p_tenant AND entry_id = p_entry;
            PERFORM acd_note(v_now, p_tenant, 'entry.callback', e.queue_id, p_entry, NULL, NULL, e.call_id, jsonb_build_object('number', p_number, 'since', e.since));
            PERFORM acd_send(e.holder, p_tenant, 'ended', p_entry, NULL, jsonb_build_object(
                'end_reason', 'callback', 'waited_seconds', acd_ms(e.since, v_now) / 1000.0, 'talk_seconds', 0));
            PERFORM acd_match(p_tenant, v_now, p_entry => p_entry);
        END IF;
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_callback(integer, bigint, text, jsonb) IS 'A waiting caller wants to be called back: the entry stays in its place without a call. ended, or leave with reason refused.';

CREATE FUNCTION acd_callback_add(p_tenant integer, p_queue integer, p_number text, p_options jsonb DEFAULT '{}', p_by text DEFAULT '')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    q queue;
    v_entry bigint := acd_older_callback(p_tenant, p_queue, p_number);
BEGIN
    IF v_entry IS NULL THEN
        SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
        v_entry := acd_new_entry(p_tenant, p_queue, coalesce((p_options ->> 'call')::uuid, acd_uuid7(v_now)), NULL, false, p_number, p_options, v_now);
        UPDATE queue_entry
        SET kind = 'callback', number = p_number, leave_at = NULL, callback_first = coalesce(p_options ->> 'first', q.callback_first),
            expires_at = v_now + acd_seconds(q.callback_expires_seconds)
        WHERE tenant_id = p_tenant AND entry_id = v_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.callback', p_queue, v_entry, NULL, NULL, NULL, jsonb_build_object('number', p_number, 'by', p_by));
        PERFORM acd_match(p_tenant, v_now, p_entry => v_entry);
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_entry;
END $$;
COMMENT ON FUNCTION acd_callback_add(integer, integer, text, jsonb, text) IS 'A callback without a call before it; returns its entry, or that of the number''s older one.';

CREATE FUNCTION acd_uuid7(p_at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (left(t, 8) || '-' || substr(t, 9, 4) || '-7' || substr(r, 16, 3) || '-' || substr(r, 20))::uuid
    FROM (SELECT lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0') AS t, gen_random_uuid()::text AS r) parts;
$$;
COMMENT ON FUNCTION acd_uuid7(timestamptz) IS 'A UUIDv7 (RFC 9562) of this time.';

CREATE FUNCTION acd_dial_failed(p_offer offer, p_result text, p_code integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Tried again after the queue's time, as often as it says; the agent was not to blame and is free.
DECLARE
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    PERFORM acd_close_offer(p_offer, 'cancelled', p_code, 'callback: ' || p_result, 'system', p_now);
    UPDATE queue_entry SET dials = dials + 1 WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id RETURNING * INTO STRICT e;
    PERFORM acd_note(p_now, e.tenant_id, 'entry.dial', e.queue_id, e.entry_id, p_offer.offer_id, p_offer.agent_id, e.call_id,
                     jsonb_build_object('result', p_result, 'code', p_code, 'dials', e.dials));
    PERFORM dial_unreached(e, p_code) WHERE e.variables ? 'dial';
    -- Of a campaign: another try is another attempt, when its rules want one.
    IF e.dials >= q.callback_attempts OR e.variables ? 'dial' THEN
        PERFORM acd_end_entry(e.tenant_id, e.entry_id, 'failed', 'system', jsonb_build_object('result', p_result), p_now);
    ELSE
        PERFORM acd_rewait(e.tenant_id, e.entry_id, 'callback: ' || p_result, q.callback_retry_seconds, p_now);
        PERFORM acd_set_due(w, p_now) FROM queue_entry w WHERE w.tenant_id = e.tenant_id AND w.entry_id = e.entry_id AND w.state = 'waiting';
    END IF;
    PERFORM acd_match(e.tenant_id, p_now, p_agent => p_offer.agent_id);
END $$;
COMMENT ON FUNCTION acd_dial_failed(offer, text, integer, timestamptz) IS 'The person of a callback was not reached.';

CREATE FUNCTION acd_dialled(p_tenant integer, p_entry bigint, p_result text, p_code integer DEFAULT NULL, p_legs jsonb DEFAULT '[]', p_verdict text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    o offer;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended';
    IF NOT FOUND OR e.kind <> 'callback' OR e.anchored THEN
        PERFORM acd_finish_transition(p_tenant, false);
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'too_late', p_entry, NULL, '{"reason": "no open offer"}');
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF p_result <> 'reached' THEN
        PERFORM dial_tell(e, jsonb_build_object('verdict', p_verdict)) WHERE p_verdict <> '' AND e.variables ? 'dial';
        PERFORM acd_dial_failed(o, p_result, p_code, v_now);
    ELSE
        UPDATE queue_entry SET anchored = true, dials = dials + 1 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
        PERFORM acd_note(v_now, p_tenant, 'entry.dial', e.queue_id, p_entry, o.offer_id, o.agent_id, e.call_id, jsonb_build_object('result', 'reached', 'dials', e.dials));
        PERFORM acd_keep_legs(o, p_legs) WHERE p_legs <> '[]';
        IF o.state = 'answered' THEN
            PERFORM acd_set_joined(e, o, acd_offer_data(e, q, o.agent_id, o.forced, v_now), v_now);
        ELSE
            UPDATE offer SET state = 'ringing', rung_at = v_now, deadline_at = v_now + acd_seconds(q.ring_seconds + 5)
            WHERE tenant_id = p_tenant AND offer_id = o.offer_id;
            UPDATE agent_live SET offer_state = 'ringing', event = 'ring', event_at = v_now, event_by = '' WHERE tenant_id = p_tenant AND agent_id = o.agent_id;
            PERFORM acd_send(e.holder, p_tenant, 'offer_agent', p_entry, o.offer_id, acd_offer_data(e, q, o.agent_id, o.forced, v_now));
        END IF;
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_dialled(integer, bigint, text, integer, jsonb, text) IS 'How the call to the person of a callback went, with what its early media said: join, offer_agent, or the next try.';

-- ------------------------------------------------------------------------------------------- transfers

CREATE FUNCTION acd_transfer(p_tenant integer, p_entry bigint, p_to_kind text, p_target text, p_mode text, p_by text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- The first agent is out of it. To a queue or an agent: a new entry of the same call, whose wait begins now.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
    v_agent integer;
    v_queue integer;
    v_entry bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    v_queue := e.queue_id;
    IF p_to_kind = 'queue' THEN
        SELECT queue_id INTO v_queue FROM queue WHERE tenant_id = p_tenant AND name = p_target;
    ELSIF p_to_kind = 'agent' THEN
        SELECT agent_id INTO v_agent FROM agent WHERE tenant_id = p_tenant AND name = p_target;
    END IF;
    IF e.state IS DISTINCT FROM 'talking' OR v_queue IS NULL OR p_to_kind = 'agent' AND v_agent IS NULL THEN
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'too_late', p_entry, NULL, '{"reason": "not talking, or no such target"}');
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'transferred', 'agent', v_now);
    PERFORM acd_note(v_now, p_tenant, 'call.transfer', e.queue_id, p_entry, NULL, e.agent_id, e.call_id,
                     jsonb_build_object('to_kind', p_to_kind, 'to', p_target, 'mode', p_mode, 'by', p_by));
    PERFORM acd_end_entry(p_tenant, p_entry, 'transferred', 'agent', jsonb_build_object('to_kind', p_to_kind, 'to', p_target), v_now);
    IF p_to_kind IN ('queue', 'agent') THEN
        v_entry := acd_new_entry(p_tenant, v_queue, e.call_id, e.holder, e.anchored, e.caller,
            jsonb_build_object('caller_name', e.caller_name, 'variables', e.variables, 'proxy', e.proxy, 'agent', v_agent), v_now);
        IF p_mode = 'attended' AND v_agent IS NOT NULL THEN
            PERFORM acd_join_at_once(p_tenant, v_entry, v_agent, v_now);
        ELSE
            PERFORM acd_admit(p_tenant, v_entry, v_now);
        END IF;
    END IF;
    PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, coalesce(v_entry, p_entry));
END $$;
COMMENT ON FUNCTION acd_transfer(integer, bigint, text, text, text, text) IS 'An agent hands his caller on.';

CREATE FUNCTION acd_join_at_once(p_tenant integer, p_entry bigint, p_agent integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Attended transfer: the agent has answered already. If a queue call holds him all the same, the caller waits for him.
DECLARE
    e queue_entry;
    q queue;
    o offer;
    v_offer bigint;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF EXISTS (SELECT FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent AND offer_id IS NOT NULL) THEN
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
        PERFORM acd_tell_place(p_tenant, p_entry, p_now);
        RETURN;
    END IF;
    UPDATE queue_entry SET state = 'offered', offers = offers + 1 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
    INSERT INTO offer (tenant_id, entry_id, queue_id, agent_id, call_id, caller, holder, proxy, state, strategy, forced, made_at, rung_at, waited_ms)
    VALUES (p_tenant, p_entry, e.queue_id, p_agent, e.call_id, e.caller, e.holder, e.proxy, 'ringing', q.strategy, true, p_now, p_now, 0) RETURNING offer_id INTO v_offer;
    UPDATE agent_live SET offer_id = v_offer, offer_state = 'ringing', event = 'ring', event_at = p_now, event_by = 'transfer' WHERE tenant_id = p_tenant AND agent_id = p_agent;
    UPDATE offer SET state = 'answered', answered_at = p_now, ring_ms = 0 WHERE tenant_id = p_tenant AND offer_id = v_offer RETURNING * INTO o;
    UPDATE agent_live SET offer_state = 'answered', event = 'answer', event_at = p_now WHERE tenant_id = p_tenant AND agent_id = p_agent;
    PERFORM acd_note(p_now, p_tenant, 'offer.make', e.queue_id, p_entry, v_offer, p_agent, e.call_id, '{"forced": true, "attended": true}');
    PERFORM acd_set_joined(e, o, acd_offer_data(e, q, p_agent, true, p_now), p_now);
END $$;
COMMENT ON FUNCTION acd_join_at_once(integer, bigint, integer, timestamptz) IS 'Joins an entry and an agent who talk already.';

CREATE FUNCTION acd_find_leg(p_tenant integer, p_sip_call_id text, p_tag text)
RETURNS TABLE (entry_id bigint, offer_id bigint, kind text, holder text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT l.entry_id, l.offer_id, l.kind, l.holder FROM leg l
    WHERE l.tenant_id = p_tenant AND l.sip_call_id = p_sip_call_id AND p_tag IN (l.tag, l.remote_tag);
END $$;
COMMENT ON FUNCTION acd_find_leg(integer, text, text) IS 'The leg that a Replaces header means, by Call-ID and either tag.';

-- ---------------------------------------------------------------------------------------------- outage

CREATE FUNCTION acd_replay(p_lines jsonb) RETURNS integer LANGUAGE plpgsql AS $$
-- Calls that came and went while the database was away: history only, nothing is matched. Each line once; returns
-- how many were new. Lines of unknown queues are passed over (the queue is gone since).
DECLARE
    l record;
    e queue_entry;
    v_count integer := 0;
BEGIN
    FOR l IN SELECT * FROM jsonb_to_recordset(p_lines) AS x (
                 event_id uuid, kind text, at timestamptz, tenant integer, queue integer, call uuid, caller text, reason text, holder text)
             JOIN queue q ON q.tenant_id = x.tenant AND q.queue_id = x.queue
             ORDER BY x.tenant, x.at, x.event_id LOOP
        PERFORM acd_begin(l.tenant, l.holder);
        INSERT INTO acd_replayed (event_id, at) VALUES (l.event_id, l.at) ON CONFLICT DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        v_count := v_count + 1;
        SELECT * INTO e FROM queue_entry WHERE call_id = l.call AND tenant_id = l.tenant ORDER BY entry_id DESC LIMIT 1;
        IF l.kind = 'enter' AND NOT FOUND THEN
            INSERT INTO queue_entry (tenant_id, queue_id, state, call_id, caller, since, entered_at, order_class, order_at, holder, anchored, state_at, due_at)
            VALUES (l.tenant, l.queue, 'lost', l.call, coalesce(l.caller, ''), l.at, l.at, 0, l.at, l.holder, true, l.at, clock_timestamp() + interval '10 min')
            RETURNING * INTO e;
            PERFORM acd_note(l.at, l.tenant, 'entry.enter', l.queue, e.entry_id, NULL, NULL, l.call, jsonb_build_object('caller', l.caller, 'since', l.at, 'replayed', l.event_id,
                'service_level_seconds', l.service_level_seconds, 'short_abandon_seconds', l.short_abandon_seconds));
        ELSIF l.kind = 'end' AND FOUND AND e.state <> 'ended' THEN
            IF e.state <> 'talking' THEN
                PERFORM acd_close_offers(l.tenant, e.entry_id, 'caller_gone', 'told late', 'system', clock_timestamp());
            END IF;
            PERFORM acd_end_entry(l.tenant, e.entry_id, coalesce(l.reason, 'abandoned')::entry_end, 'caller', jsonb_build_object('replayed', l.event_id), greatest(l.at, e.since))
            WHERE e.state <> 'talking';
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_replay(jsonb) IS 'Journal lines of hosts from a time without database, each once, with their original times.';

-- ---------------------------------------------------------------------------------------- housekeeping

CREATE FUNCTION acd_ensure_partition(p_day date) RETURNS void LANGUAGE plpgsql AS $$
-- Rows of the day that the default partition has taken meanwhile move into the new one.
DECLARE
    v_name text := 'acd_event_' || to_char(p_day, 'YYYYMMDD');
    v_from timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(v_name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('day_partitions'));
        IF to_regclass(v_name) IS NULL THEN
            CREATE TEMP TABLE acd_moved ON COMMIT DROP AS SELECT * FROM acd_event_default WHERE at >= v_from AND at < v_from + interval '1 day';
            DELETE FROM acd_event_default WHERE at >= v_from AND at < v_from + interval '1 day';
            EXECUTE format('CREATE TABLE %I PARTITION OF acd_event FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_from + interval '1 day');
            INSERT INTO acd_event SELECT * FROM acd_moved;
            DROP TABLE acd_moved;
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION acd_ensure_partition(date) IS 'Makes the partition of acd_event for one UTC day when it is missing.';

CREATE FUNCTION acd_sweep(p_keep interval DEFAULT '7 days') RETURNS void LANGUAGE sql AS $$
    DELETE FROM host_command WHERE created_at < clock_timestamp() - p_keep;
    DELETE FROM acd_replayed WHERE at < clock_timestamp() - interval '60 days';
    DELETE FROM last_agent WHERE at < clock_timestamp() - interval '366 days';
$$;
COMMENT ON FUNCTION acd_sweep(interval) IS 'Forgets commands and memories that nobody needs any more.';

CREATE VIEW acd_attempt AS
SELECT o.tenant_id, o.offer_id, o.entry_id, o.call_id, q.name AS queue, o.caller, coalesce(a.name, 'agent ' || o.agent_id) AS agent,
       o.made_at AS at, round(o.waited_ms / 1000.0, 3) AS wait_seconds, round(o.ring_ms / 1000.0, 3) AS ring_seconds, round(o.talk_ms / 1000.0, 3) AS talk_seconds,
       round(o.hold_ms / 1000.0, 3) AS hold_seconds, o.answered_at IS NOT NULL AS answered, o.joined_at IS NOT NULL AS success, o.outcome, o.code, o.cause, o.hung_up_by
FROM offer o
LEFT JOIN queue q ON q.tenant_id = o.tenant_id AND q.queue_id = o.queue_id
LEFT JOIN agent a ON a.tenant_id = o.tenant_id AND a.agent_id = o.agent_id;
COMMENT ON VIEW acd_attempt IS 'One row an offer, as managers of agents need it: queue, caller, agent, time, wait, talk, answered, success.';
