-- Call distribution: commands, deadlines, reconciliation (docs/acd.md, sections 4 and 5).

-- --------------------------------------------------------------------------------------------- commands

CREATE FUNCTION acd_take(p_holder text, p_most integer DEFAULT 100) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- An offer that ended before its host took it is not rung at all.
DECLARE
    v_now timestamptz;
    v_ids bigint[];
    v_tenant integer;
    o record;
BEGIN
    FOR v_tenant IN SELECT DISTINCT tenant_id FROM host_command WHERE host = p_holder AND taken_at IS NULL ORDER BY 1 LOOP
        PERFORM acd_begin(v_tenant, p_holder);
    END LOOP;
    IF v_tenant IS NULL THEN
        RETURN;
    END IF;
    v_now := clock_timestamp();
    v_ids := ARRAY(SELECT command_id FROM host_command WHERE host = p_holder AND taken_at IS NULL ORDER BY command_id LIMIT p_most);
    UPDATE host_command SET taken_at = v_now WHERE command_id = ANY (v_ids);
    FOR o IN
        UPDATE offer f SET state = 'ringing', rung_at = v_now, deadline_at = v_now + acd_seconds(greatest(q.ring_seconds, dial_seconds(e, 'agent_ring_seconds')) + 5)
        FROM host_command c, queue q, queue_entry e
        WHERE c.command_id = ANY (v_ids) AND c.kind = 'offer_agent' AND f.tenant_id = c.tenant_id AND f.offer_id = c.offer_id
          AND f.state = 'reserved' AND q.tenant_id = f.tenant_id AND q.queue_id = f.queue_id AND e.tenant_id = f.tenant_id AND e.entry_id = f.entry_id
        RETURNING f.tenant_id, f.offer_id, f.agent_id
    LOOP
        UPDATE agent_live SET offer_state = 'ringing', event = 'ring', event_at = v_now, event_by = ''
        WHERE tenant_id = o.tenant_id AND agent_id = o.agent_id AND offer_id = o.offer_id;
    END LOOP;
    PERFORM acd_finish_transition(v_tenant, false);
    RETURN QUERY
    SELECT c.command_id, c.tenant_id, c.kind, c.entry_id, c.offer_id, c.data
    FROM host_command c
    LEFT JOIN offer f ON f.tenant_id = c.tenant_id AND f.offer_id = c.offer_id
    WHERE c.command_id = ANY (v_ids) AND (c.kind NOT IN ('offer_agent', 'dial') OR f.state <> 'ended')
    ORDER BY c.command_id;
END $$;
COMMENT ON FUNCTION acd_take(text, integer) IS 'What a node must do and has not taken yet; offers among it are ringing from now.';

CREATE FUNCTION acd_done(p_id bigint, p_error text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE host_command SET done_at = clock_timestamp(), error = p_error WHERE command_id = p_id;
    PERFORM set_config('synchronous_commit', 'off', true);
END $$;
COMMENT ON FUNCTION acd_done(bigint, text) IS 'How a command of a supervisor went.';

CREATE FUNCTION acd_positions(p_holder text)
RETURNS TABLE (entry_id bigint, queue_id integer, "position" integer, waiting integer,
               ewt_seconds double precision, ewt_low_seconds double precision, ewt_high_seconds double precision)
LANGUAGE plpgsql STABLE AS $$
-- position x average handle time / agents staffed. In a jam nobody's call ends for long: then the age of the calls
-- that go on counts, when it is more than the average.
BEGIN
    RETURN QUERY
    WITH queues AS (SELECT DISTINCT e.tenant_id, e.queue_id FROM queue_entry e WHERE e.holder = p_holder AND e.state = 'waiting'),
    facts AS (
        SELECT u.queue_id,
               greatest(coalesce(l.handle_seconds, 180), coalesce((
                   SELECT avg(extract(epoch FROM clock_timestamp() - f.joined_at)) FROM queue_entry t JOIN offer f USING (tenant_id, entry_id)
                   WHERE t.tenant_id = u.tenant_id AND t.queue_id = u.queue_id AND t.state = 'talking' AND f.state = 'answered'), 0)) AS handle,
               (SELECT count(*) FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
                WHERE m.tenant_id = u.tenant_id AND m.queue_id = u.queue_id AND a.state NOT IN ('offline', 'paused')) AS staffed
        FROM queues u JOIN queue_live l ON l.tenant_id = u.tenant_id AND l.queue_id = u.queue_id),
    placed AS (
        SELECT e.entry_id, e.queue_id, e.holder,
               row_number() OVER (PARTITION BY e.queue_id ORDER BY e.order_class DESC, e.order_at, e.entry_id)::integer AS place,
               count(*) OVER (PARTITION BY e.queue_id)::integer AS waiting
        FROM queue_entry e WHERE e.state = 'waiting' AND e.queue_id IN (SELECT u.queue_id FROM queues u)),
    expected AS (
        SELECT p.*, CASE WHEN f.staffed > 0 THEN greatest(0, p.place * f.handle / f.staffed) END::double precision AS ewt
        FROM placed p JOIN facts f USING (queue_id) WHERE p.holder = p_holder)
    SELECT x.entry_id, x.queue_id, x.place, x.waiting, x.ewt, x.ewt * 0.75, x.ewt * 1.25 FROM expected x ORDER BY x.queue_id, x.place;
END $$;
COMMENT ON FUNCTION acd_positions(text) IS 'Place and expected wait of everybody who waits at a host; null wait: nobody staffs the queue.';

-- --------------------------------------------------------------------------------------------- deadlines

CREATE FUNCTION acd_next_deadline() RETURNS double precision LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN extract(epoch FROM least(
        (SELECT min(due_at) FROM agent_live WHERE due_at IS NOT NULL),
        (SELECT min(due_at) FROM queue_entry WHERE due_at IS NOT NULL),
        (SELECT min(deadline_at) FROM offer WHERE deadline_at IS NOT NULL),
        (SELECT min(until) FROM rejection)) - clock_timestamp());
END $$;
COMMENT ON FUNCTION acd_next_deadline() IS 'Seconds until something is due, negative when it is overdue; null: nothing will be.';

CREATE FUNCTION acd_due() RETURNS SETOF integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    SELECT tenant_id FROM agent_live WHERE due_at <= v_now
    UNION SELECT tenant_id FROM queue_entry WHERE due_at <= v_now
    UNION SELECT tenant_id FROM offer WHERE deadline_at <= v_now
    UNION SELECT tenant_id FROM rejection WHERE until <= v_now;
END $$;
COMMENT ON FUNCTION acd_due() IS 'Tenants with something due.';

CREATE FUNCTION acd_tick(p_tenant integer) RETURNS integer LANGUAGE plpgsql AS $$
-- At most some hundred transitions, so that calls get their turn; who calls repeats it until 0 comes back.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_count integer := 0;
    v_agent integer;
    o offer;
    e queue_entry;
BEGIN
    FOR v_agent IN SELECT agent_id FROM agent_live WHERE due_at <= v_now AND tenant_id = p_tenant ORDER BY due_at LIMIT 100 LOOP
        UPDATE agent_live
        SET wrapup_until = CASE WHEN wrapup_until > v_now THEN wrapup_until END, not_before = CASE WHEN not_before > v_now THEN not_before END,
            event = 'time', event_at = v_now, event_by = 'system'
        WHERE tenant_id = p_tenant AND agent_id = v_agent;
        PERFORM acd_match(p_tenant, v_now, p_agent => v_agent);
        v_count := v_count + 1;
    END LOOP;
    FOR o IN SELECT * FROM offer WHERE deadline_at <= v_now AND tenant_id = p_tenant ORDER BY deadline_at LIMIT 100 LOOP
        PERFORM acd_offer_due(o, v_now);
        v_count := v_count + 1;
    END LOOP;
    FOR e IN SELECT * FROM queue_entry WHERE due_at <= v_now AND tenant_id = p_tenant ORDER BY order_class DESC, order_at, entry_id LIMIT 100 LOOP
        PERFORM acd_entry_due(p_tenant, e.entry_id, v_now);
        v_count := v_count + 1;
    END LOOP;
    FOR v_agent IN DELETE FROM rejection WHERE until <= v_now AND tenant_id = p_tenant RETURNING agent_id LOOP
        PERFORM acd_match(p_tenant, v_now, p_agent => v_agent);
        v_count := v_count + 1;
    END LOOP;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_tick(integer) IS 'Does what is due in a tenant; returns how many transitions that were.';

CREATE FUNCTION acd_repair(p_tenant integer, p_what text, p_cause text, p_queue integer, p_entry bigint, p_offer bigint, p_agent integer, p_call uuid, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM acd_note(p_now, p_tenant, 'repair', p_queue, p_entry, p_offer, p_agent, p_call, jsonb_build_object('what', p_what, 'cause', p_cause));
END $$;
COMMENT ON FUNCTION acd_repair(integer, text, text, integer, bigint, bigint, integer, uuid, timestamptz) IS 'Writes the event of a repair.';

CREATE FUNCTION acd_offer_due(p_offer offer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The holder tells outcomes itself, five seconds earlier: one that has not is gone or has lost our reply.
DECLARE
    o offer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    IF o.state = 'ended' OR o.deadline_at IS NULL OR o.deadline_at > p_now THEN
        RETURN;
    ELSIF o.preview_until IS NOT NULL THEN
        PERFORM dial_preview_over(o, p_now);
        RETURN;
    END IF;
    PERFORM acd_repair(o.tenant_id, 'offer', 'no word about it in time while ' || o.state, o.queue_id, o.entry_id, o.offer_id, o.agent_id, o.call_id, p_now);
    PERFORM acd_send(o.holder, o.tenant_id, 'cancel_offer', o.entry_id, o.offer_id, '{"reason": "deadline"}')
    FROM queue_entry e WHERE e.tenant_id = o.tenant_id AND e.entry_id = o.entry_id AND (e.anchored OR e.kind = 'callback');
    IF EXISTS (SELECT FROM queue_entry WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id AND kind = 'callback' AND NOT anchored)
       AND (o.state = 'answered' OR o.rung_at IS NULL) THEN
        PERFORM acd_dial_failed(o, 'lost', NULL, p_now);
    ELSE
        PERFORM acd_fail_offer(o, 'lost', NULL, 'deadline', p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_offer_due(offer, timestamptz) IS 'An offer whose deadline has come.';

CREATE FUNCTION acd_entry_due(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    IF e.due_at IS NULL OR e.due_at > p_now THEN
        RETURN;
    ELSIF e.state = 'arriving' THEN
        PERFORM acd_repair(p_tenant, 'entry', 'no media host took the call', e.queue_id, p_entry, NULL, NULL, e.call_id, p_now);
        PERFORM acd_end_entry(p_tenant, p_entry, 'failed', 'system', '{}', p_now);
    ELSIF e.state = 'lost' THEN
        PERFORM acd_end_entry(p_tenant, p_entry, 'host_lost', 'system', '{}', p_now);
    ELSIF e.expires_at <= p_now AND e.state = 'waiting' AND NOT e.anchored THEN
        PERFORM acd_end_entry(p_tenant, p_entry, 'expired', 'system', '{}', p_now);
    ELSIF e.state <> 'waiting' THEN
        UPDATE queue_entry SET due_at = NULL WHERE tenant_id = p_tenant AND entry_id = p_entry;
    ELSIF e.leave_at <= p_now THEN
        PERFORM acd_leave_by(p_tenant, p_entry, 'timeout', 'system', p_now);
    ELSIF e.kind = 'call' AND NOT acd_staffed(p_tenant, e.queue_id, (SELECT stay_when FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id)) THEN
        PERFORM acd_leave_by(p_tenant, p_entry, 'empty', 'system', p_now);
    ELSE
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
        -- What matching leaves alone (a delay that runs) is looked at again, but never in a busy loop.
        UPDATE queue_entry SET due_at = greatest(due_at, p_now + interval '50 ms')
        WHERE tenant_id = p_tenant AND entry_id = p_entry AND due_at <= p_now;
    END IF;
END $$;
COMMENT ON FUNCTION acd_entry_due(integer, bigint, timestamptz) IS 'An entry at whose due time somebody must look.';

-- ------------------------------------------------------------------------------------------- media hosts

CREATE FUNCTION acd_lose_entry(p_entry queue_entry, p_cause text, p_now timestamptz) RETURNS integer[] LANGUAGE plpgsql AS $$
-- Who waited keeps his place for the grace time; a callback waits on by itself; a conversation is over.
DECLARE
    v_freed integer[];
    v_grace integer;
BEGIN
    PERFORM acd_repair(p_entry.tenant_id, 'entry', p_cause, p_entry.queue_id, p_entry.entry_id, NULL, p_entry.agent_id, p_entry.call_id, p_now);
    v_freed := acd_close_offers(p_entry.tenant_id, p_entry.entry_id, 'lost', p_cause, 'system', p_now);
    IF p_entry.state = 'talking' THEN
        PERFORM acd_end_entry(p_entry.tenant_id, p_entry.entry_id, 'host_lost', 'system', jsonb_build_object('cause', p_cause), p_now);
    ELSIF p_entry.variables ? 'dial' AND p_entry.state = 'offered' THEN
        -- Of a campaign: the person may have been rung already, and is not rung again by the same attempt.
        PERFORM acd_end_entry(p_entry.tenant_id, p_entry.entry_id, 'host_lost', 'system', jsonb_build_object('cause', p_cause), p_now);
    ELSIF p_entry.kind = 'callback' THEN
        UPDATE queue_entry SET anchored = false, missing_since = NULL WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_rewait(p_entry.tenant_id, p_entry.entry_id, p_cause, 1, p_now);
    ELSIF p_entry.state IN ('waiting', 'offered') THEN
        SELECT grace_seconds INTO STRICT v_grace FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
        UPDATE queue_entry SET state = 'lost', state_at = p_now, due_at = p_now + acd_seconds(v_grace), missing_since = NULL
        WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.lost', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id, jsonb_build_object('cause', p_cause));
    END IF;
    RETURN v_freed;
END $$;
COMMENT ON FUNCTION acd_lose_entry(queue_entry, text, timestamptz) IS 'The call of an entry is gone with its host; returns the agents whom it held.';

CREATE FUNCTION acd_lose_host(p_holder text, p_cause text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_tenant integer;
    v_count integer := 0;
    v_freed integer[];
    e queue_entry;
BEGIN
    FOR v_tenant IN SELECT DISTINCT tenant_id FROM queue_entry WHERE holder = p_holder AND state <> 'ended' ORDER BY 1 LOOP
        v_now := acd_begin(v_tenant);
        v_freed := '{}';
        PERFORM acd_note(v_now, v_tenant, 'host.lost', NULL, NULL, NULL, NULL, NULL, jsonb_build_object('host', p_holder, 'cause', p_cause));
        FOR e IN SELECT * FROM queue_entry WHERE holder = p_holder AND tenant_id = v_tenant AND state IN ('waiting', 'offered', 'talking')
                 ORDER BY entry_id LOOP
            v_freed := v_freed || acd_lose_entry(e, p_cause, v_now);
            v_count := v_count + 1;
        END LOOP;
        PERFORM acd_match_agents(v_tenant, v_freed, v_now);
    END LOOP;
    IF v_count > 0 THEN
        UPDATE host_command SET taken_at = v_now, error = p_cause WHERE host = p_holder AND taken_at IS NULL;
        PERFORM acd_finish_transition(v_tenant, false);
    END IF;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_lose_host(text, text) IS 'Everything that a host held is lost; returns how many entries.';

CREATE FUNCTION acd_silent_hosts() RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT e.holder FROM queue_entry e LEFT JOIN node n ON n.name = e.holder
    WHERE e.state IN ('waiting', 'offered', 'talking') AND (e.anchored OR e.kind = 'callback') AND e.holder IS NOT NULL
      AND e.state_at < clock_timestamp() - interval '5 s' AND coalesce(n.heartbeat_at, '-infinity') < clock_timestamp() - interval '5 s'
    ORDER BY 1;
END $$;
COMMENT ON FUNCTION acd_silent_hosts() IS 'Media hosts that hold entries and have given no sign of life for 5 s; acd_lose_host each.';

CREATE FUNCTION acd_report(p_holder text, p_boot uuid, p_entries bigint[], p_data jsonb) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Missing in one report may be a report written while the entry was being made; missing in two, two seconds apart, is
-- a call that is not there.
DECLARE
    v_boot text;
    v_now timestamptz;
    v_freed integer[];
    e queue_entry;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT data ->> 'boot' INTO v_boot FROM node WHERE name = p_holder AND kind = 'media';
    UPDATE node SET heartbeat_at = clock_timestamp(), data = data || p_data || jsonb_build_object('boot', p_boot) WHERE name = p_holder AND kind = 'media';
    IF v_boot <> p_boot::text THEN
        PERFORM acd_lose_host(p_holder, 'the host has started anew');
    END IF;
    FOR e IN
        SELECT * FROM queue_entry q
        WHERE q.holder = p_holder AND q.state IN ('waiting', 'offered', 'talking') AND (q.anchored OR q.kind = 'callback')
          AND (q.missing_since IS NOT NULL OR NOT EXISTS (SELECT FROM unnest(p_entries) AS known (id) WHERE known.id = q.entry_id))
        ORDER BY q.tenant_id, q.entry_id
    LOOP
        v_now := acd_begin(e.tenant_id);
        SELECT * INTO e FROM queue_entry WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;  -- as it is now
        CONTINUE WHEN e.holder IS DISTINCT FROM p_holder OR e.state NOT IN ('waiting', 'offered', 'talking');
        IF e.entry_id = ANY (p_entries) THEN
            UPDATE queue_entry SET missing_since = NULL WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;
        ELSIF e.missing_since IS NULL THEN
            UPDATE queue_entry SET missing_since = v_now WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;
        ELSIF e.missing_since < v_now - interval '2 s' THEN
            v_freed := acd_lose_entry(e, 'the host does not know the call', v_now);
            PERFORM acd_match_agents(e.tenant_id, v_freed, v_now);
            PERFORM acd_finish_transition(e.tenant_id, false);
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT NULL::bigint, q.tenant_id, 'end', known.id, NULL::bigint, jsonb_build_object('reason', coalesce(q.end_reason::text, 'unknown'))
    FROM unnest(p_entries) AS known (id)
    LEFT JOIN queue_entry q ON q.entry_id = known.id
    WHERE q.entry_id IS NULL OR q.state = 'ended' AND q.ended_at < clock_timestamp() - interval '2 s' OR q.holder <> p_holder;
END $$;
COMMENT ON FUNCTION acd_report(text, uuid, bigint[], jsonb) IS 'Heartbeat of a media host with all entries that it holds; returns those that it must end.';
