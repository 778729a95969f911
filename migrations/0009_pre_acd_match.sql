-- Call distribution: who meets whom. One match function, which every transition runs.

CREATE FUNCTION acd_settings(p_tenant integer, p_queue integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT media || jsonb_build_object('tenant', tenant_id, 'queue', queue_id, 'name', name, 'record', record)
            FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue);
END $$;
COMMENT ON FUNCTION acd_settings(integer, integer) IS 'What a media host must know of a queue (sems_apps.settings.QueueSettings).';

CREATE FUNCTION acd_next_step(p_entry queue_entry, p_now timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
-- Whatever else makes a pair possible is a transition, which matches by itself; the end of a rejection is one too.
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_next timestamptz;
BEGIN
    SELECT p_entry.since + acd_seconds(min(step)) INTO v_next
    FROM queue_live l, unnest(l.steps) AS step
    WHERE l.tenant_id = p_entry.tenant_id AND l.queue_id = p_entry.queue_id AND step > v_waited;
    RETURN least(v_next,
                 CASE WHEN p_entry.not_before > p_now THEN p_entry.not_before END,
                 CASE WHEN p_entry.sticky_until > p_now THEN p_entry.sticky_until END,
                 CASE WHEN p_entry.variables ? 'dial' THEN dial_skip_ends(p_entry, p_now) END);
END $$;
COMMENT ON FUNCTION acd_next_step(queue_entry, timestamptz) IS 'When a waiting entry may be taken by more agents than now; null: never.';

CREATE FUNCTION acd_caller_key(p_caller text, p_entry bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_caller WHEN '' THEN '#' || p_entry ELSE p_caller END;
$$;
COMMENT ON FUNCTION acd_caller_key(text, bigint) IS 'By what a caller is known again: the number, or the entry when it is withheld.';

CREATE FUNCTION acd_set_due(p_entry queue_entry, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_stay queue_staffing;
BEGIN
    SELECT stay_when INTO v_stay FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    UPDATE queue_entry
    SET due_at = least(p_entry.leave_at, p_entry.expires_at, acd_next_step(p_entry, p_now),
                       CASE WHEN v_stay <> 'always' AND p_entry.kind = 'call' THEN p_now + interval '2 s' END)
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
END $$;
COMMENT ON FUNCTION acd_set_due(queue_entry, timestamptz) IS 'Notes when somebody must look at a waiting entry again.';

-- ---------------------------------------------------------------------------------------------- choice

CREATE FUNCTION acd_best_entry(p_tenant integer, p_agent integer, p_now timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
-- Each queue's index gives its callers in order, so only those are looked at who may not have this agent.
BEGIN
    RETURN (
        SELECT best.entry_id
        FROM ready_agent r
        JOIN queue_live l ON l.tenant_id = r.tenant_id AND l.queue_id = r.queue_id
        CROSS JOIN LATERAL (
            SELECT e.entry_id, e.order_class, e.order_at
            FROM queue_entry e
            WHERE e.queue_id = r.queue_id AND e.state = 'waiting' AND e.assigned_agent IS NULL
              AND e.since <= p_now - acd_seconds(r.min_wait)
              AND (e.not_before IS NULL OR e.not_before <= p_now)
              AND (e.sticky_until IS NULL OR e.sticky_until <= p_now OR e.sticky_agent = p_agent)
              AND (e.kind = 'call' OR l.callback_open)
              AND NOT EXISTS (SELECT FROM rejection x
                              WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.until > p_now
                                AND x.caller = CASE e.caller WHEN '' THEN '#' || e.entry_id ELSE e.caller END)
              AND CASE WHEN e.kind = 'callback' THEN p_agent <> ALL (dial_skippers(e, p_now)) ELSE true END
            ORDER BY e.order_class DESC, e.order_at, e.entry_id
            LIMIT 1) best
        WHERE r.tenant_id = p_tenant AND r.agent_id = p_agent
        ORDER BY best.order_class DESC, best.order_at, best.entry_id
        LIMIT 1);
END $$;
COMMENT ON FUNCTION acd_best_entry(integer, integer, timestamptz) IS 'The caller whom a ready agent must get: over all his queues, by priority, then waited time.';

CREATE FUNCTION acd_rejecting(p_entry queue_entry, p_now timestamptz) RETURNS integer[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(SELECT agent_id FROM rejection
                 WHERE tenant_id = p_entry.tenant_id AND caller = acd_caller_key(p_entry.caller, p_entry.entry_id) AND until > p_now)
        || CASE WHEN p_entry.kind = 'callback' THEN dial_skippers(p_entry, p_now) ELSE '{}' END;
END $$;
COMMENT ON FUNCTION acd_rejecting(queue_entry, timestamptz) IS 'Agents who rejected this caller, or skipped this lead, a moment ago.';

CREATE FUNCTION acd_best_agents(p_entry queue_entry, p_now timestamptz, p_most integer) RETURNS integer[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
    v_only integer := CASE WHEN p_entry.sticky_until > p_now THEN p_entry.sticky_agent END;
BEGIN
    RETURN ARRAY(
        SELECT r.agent_id
        FROM ready_agent r
        WHERE r.queue_id = p_entry.queue_id AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
          AND (v_only IS NULL OR r.agent_id = v_only)
        ORDER BY r.tier, r.penalty, r.rank, r.agent_id
        LIMIT p_most);
END $$;
COMMENT ON FUNCTION acd_best_agents(queue_entry, timestamptz, integer) IS 'The first ready agents whom an entry may have, in the order of tier, penalty and rank.';

CREATE FUNCTION acd_draw(p_entry queue_entry, p_now timestamptz, OUT agents integer[], OUT told jsonb) LANGUAGE plpgsql AS $$
-- Among the equals of the best tier and penalty, each equally likely; what was drawn is kept with the offer. Each stands
-- at a random place since he became ready (acd_make_ready), so of very many only a window is looked at, which begins
-- anywhere in the row: thousands of equals cost what 64 cost.
DECLARE
    most constant integer := 64;
    v_first ready_agent;
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
    v_drawn double precision := random();
    v_from double precision;
BEGIN
    agents := acd_best_agents(p_entry, p_now, 1);
    IF p_entry.sticky_until > p_now THEN
        told := '{"drawn": 0, "among": 1}';
        RETURN;
    END IF;
    SELECT * INTO STRICT v_first FROM ready_agent r
    WHERE r.tenant_id = p_entry.tenant_id AND r.agent_id = agents[1] AND r.queue_id = p_entry.queue_id;
    agents := ARRAY(
        SELECT r.agent_id FROM ready_agent r
        WHERE r.queue_id = p_entry.queue_id AND r.tier = v_first.tier AND r.penalty = v_first.penalty
          AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
        ORDER BY r.tier, r.penalty, r.rank, r.agent_id LIMIT most + 1);
    IF cardinality(agents) > most THEN
        v_from := random();
        agents := ARRAY(
            SELECT w.agent_id FROM (
                (SELECT 1 AS part, r.rank, r.agent_id FROM ready_agent r
                 WHERE r.queue_id = p_entry.queue_id AND r.tier = v_first.tier AND r.penalty = v_first.penalty AND r.rank >= v_from
                   AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
                 ORDER BY r.tier, r.penalty, r.rank, r.agent_id LIMIT most)
                UNION ALL  -- where the row ends it begins again
                (SELECT 2, r.rank, r.agent_id FROM ready_agent r
                 WHERE r.queue_id = p_entry.queue_id AND r.tier = v_first.tier AND r.penalty = v_first.penalty AND r.rank < v_from
                   AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
                 ORDER BY r.tier, r.penalty, r.rank, r.agent_id LIMIT most)) w
            ORDER BY w.part, w.rank, w.agent_id LIMIT most);
    END IF;
    told := jsonb_build_object('drawn', v_drawn, 'among', cardinality(agents))
        || CASE WHEN v_from IS NULL THEN '{}' ELSE jsonb_build_object('from', v_from) END;
    agents := agents[floor(v_drawn * cardinality(agents))::integer + 1 : floor(v_drawn * cardinality(agents))::integer + 1];
END $$;
COMMENT ON FUNCTION acd_draw(queue_entry, timestamptz) IS 'Strategy random: the agent is number floor(drawn x among) of the equals, counted from 0; of very many, of those from a place on.';

CREATE FUNCTION acd_candidates(p_entry queue_entry, p_queue queue, p_now timestamptz) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- What explains a choice later. In a large queue only the first of each kind: the states of all its agents at any
-- time stand in acd_event. Each offer pays for this, so the text is built once and read once (json, then jsonb).
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
    v_members integer;
    v_ready json;
    v_out json := '[]';
BEGIN
    SELECT members INTO v_members FROM queue_live WHERE tenant_id = p_queue.tenant_id AND queue_id = p_queue.queue_id;
    SELECT coalesce(json_agg(CASE
               WHEN x.out IS NULL THEN json_build_object('agent', x.agent_id, 'tier', x.tier, 'penalty', x.penalty, 'rank', x.rank)
               WHEN x.out = 'opens' THEN json_build_object('agent', x.agent_id, 'tier', x.tier, 'penalty', x.penalty, 'rank', x.rank, 'out', x.out, 'at', x.min_wait)
               ELSE json_build_object('agent', x.agent_id, 'tier', x.tier, 'penalty', x.penalty, 'rank', x.rank, 'out', x.out) END), '[]')
    INTO v_ready
    FROM (SELECT r.*, CASE WHEN r.min_wait > v_waited THEN 'opens'
                           WHEN p_entry.sticky_until > p_now AND r.agent_id <> p_entry.sticky_agent THEN 'sticky'
                           WHEN r.agent_id = ANY (v_rejecting) THEN 'rejected' END AS out
          FROM ready_agent r WHERE r.queue_id = p_queue.queue_id
          ORDER BY r.tier, r.penalty, r.rank, r.agent_id LIMIT 32) x;
    IF v_members <= 64 THEN
        SELECT coalesce(json_agg(json_build_object('agent', m.agent_id, 'state', a.state, 'reason',
                   CASE WHEN a.ready THEN 'skill' WHEN a.state = 'free' THEN 'penalty' ELSE a.state_reason END)), '[]')
        INTO v_out
        FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
        WHERE m.tenant_id = p_queue.tenant_id AND m.queue_id = p_queue.queue_id
          AND (NOT a.ready OR NOT EXISTS (SELECT FROM ready_agent r
                                          WHERE r.tenant_id = m.tenant_id AND r.agent_id = m.agent_id AND r.queue_id = m.queue_id));
    END IF;
    RETURN json_build_object('members', v_members, 'ready', v_ready, 'out', v_out)::text::jsonb;
END $$;
COMMENT ON FUNCTION acd_candidates(queue_entry, queue, timestamptz) IS 'Agents that were looked at for an offer, with rank, or why they were left out.';

-- ----------------------------------------------------------------------------------------------- offer

CREATE FUNCTION acd_pick_host() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT name FROM acd_hosts() WHERE NOT draining LIMIT 1);
END $$;

CREATE FUNCTION acd_hosts() RETURNS TABLE (name text, address text, load double precision, calls integer, draining boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- With the rights of the owner: a tenant's program may not read the nodes.
BEGIN
    RETURN QUERY
    SELECT n.name, n.address, coalesce((n.data ->> 'load')::double precision, 0), coalesce((n.data ->> 'calls')::integer, 0),
           coalesce((n.data ->> 'draining')::boolean, false)
    FROM node n
    WHERE n.kind = 'media' AND n.enabled AND n.heartbeat_at > clock_timestamp() - interval '5 s'
    ORDER BY 5, 3, 4, 1;
END $$;
COMMENT ON FUNCTION acd_hosts() IS 'Living media hosts, least loaded first; those that drain come last.';
COMMENT ON FUNCTION acd_pick_host() IS 'The media host that gets the next call; null: none lives.';

CREATE FUNCTION acd_offer_data(p_entry queue_entry, p_queue queue, p_agent integer, p_forced boolean, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'queue', p_queue.queue_id, 'queue_name', p_queue.name, 'call', p_entry.call_id, 'agent', p_agent,
            'agent_name', a.name, 'to_kind', CASE WHEN a.number IS NULL THEN 'account' ELSE 'number' END,
            'to', coalesce(a.number, c.username), 'domain', d.name,
            'ring_seconds', p_queue.ring_seconds, 'caller', p_entry.caller, 'caller_name', p_entry.caller_name,
            'waited_seconds', round(extract(epoch FROM p_now - p_entry.since)), 'priority', p_queue.priority + p_entry.priority,
            'forced', p_forced, 'ring_all', p_queue.strategy = 'ring_all' AND NOT p_forced, 'record', p_queue.record,
            'first', CASE WHEN NOT p_entry.anchored THEN p_entry.callback_first END, 'number', p_entry.number,
            'settings', p_queue.media || jsonb_build_object(
                'tenant', p_queue.tenant_id, 'queue', p_queue.queue_id, 'name', p_queue.name, 'record', p_queue.record),
            'variables', p_entry.variables)
        FROM agent a
        LEFT JOIN account c ON c.tenant_id = a.tenant_id AND c.account_id = a.account_id
        LEFT JOIN LATERAL (SELECT domain.name FROM account_domain own JOIN domain USING (tenant_id, domain_id)
                           WHERE own.tenant_id = a.tenant_id AND own.account_id = a.account_id
                           ORDER BY domain.name LIMIT 1) d ON true
        WHERE a.tenant_id = p_entry.tenant_id AND a.agent_id = p_agent);
END $$;
COMMENT ON FUNCTION acd_offer_data(queue_entry, queue, integer, boolean, timestamptz) IS 'Data of offer_agent and join.';

CREATE FUNCTION acd_make_offer(
    p_entry queue_entry, p_queue queue, p_agent integer, p_forced boolean, p_candidates jsonb, p_now timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
-- Whoever asks rings at once; another host first takes the command. A callback whose person is called first keeps
-- the agent reserved meanwhile, and so does a lead that he looks at: no host knows of it before he accepts.
DECLARE
    v_preview integer := CASE WHEN p_entry.kind = 'callback' AND NOT p_entry.anchored THEN (p_entry.variables #>> '{dial,preview_seconds}')::integer END;
    v_dial boolean := p_entry.kind = 'callback' AND p_entry.callback_first = 'caller' AND NOT p_entry.anchored;
    v_state offer_state := CASE WHEN v_preview IS NULL AND p_entry.holder = current_setting('acd.caller') AND NOT v_dial THEN 'ringing' ELSE 'reserved' END;
    v_limit integer := CASE WHEN v_preview IS NOT NULL THEN v_preview
                            WHEN v_dial THEN p_queue.callback_ring_seconds + 10
                            WHEN v_state = 'ringing' THEN greatest(p_queue.ring_seconds, dial_seconds(p_entry, 'agent_ring_seconds')) + 5 ELSE 5 END;
    v_offer bigint;
BEGIN
    INSERT INTO offer (tenant_id, entry_id, queue_id, agent_id, call_id, caller, holder, proxy, state, strategy, forced, ring_all,
                       made_at, rung_at, deadline_at, waited_ms, candidates, preview_until)
    VALUES (p_entry.tenant_id, p_entry.entry_id, p_entry.queue_id, p_agent, p_entry.call_id, p_entry.caller, p_entry.holder, p_entry.proxy,
            v_state, p_queue.strategy, p_forced, p_queue.strategy = 'ring_all' AND NOT p_forced AND v_preview IS NULL,
            p_now, CASE v_state WHEN 'ringing' THEN p_now END, p_now + acd_seconds(v_limit), acd_ms(p_entry.since, p_now), p_candidates,
            CASE WHEN v_preview IS NOT NULL THEN p_now + acd_seconds(v_limit) END)
    RETURNING offer_id INTO v_offer;
    UPDATE agent_live
    SET offer_id = v_offer, offer_state = v_state, event = CASE v_state WHEN 'ringing' THEN 'ring' ELSE 'reserve' END, event_at = p_now, event_by = ''
    WHERE tenant_id = p_entry.tenant_id AND agent_id = p_agent;
    IF p_queue.strategy = 'round_robin' AND NOT p_forced THEN
        INSERT INTO round_robin (tenant_id, queue_id, agent_id, last_offer_at) VALUES (p_entry.tenant_id, p_entry.queue_id, p_agent, p_now)
        ON CONFLICT (tenant_id, queue_id, agent_id) DO UPDATE SET last_offer_at = excluded.last_offer_at;
    END IF;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'offer.make', p_entry.queue_id, p_entry.entry_id, v_offer, p_agent, p_entry.call_id,
        jsonb_build_object('strategy', p_queue.strategy, 'forced', p_forced, 'waited_seconds', acd_ms(p_entry.since, p_now) / 1000.0)
        || CASE WHEN v_preview IS NOT NULL THEN jsonb_build_object('preview_seconds', v_preview) ELSE '{}' END);
    IF v_preview IS NOT NULL THEN
        RETURN v_offer;
    ELSIF v_dial THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'dial', p_entry.entry_id, v_offer, acd_dial_data(p_entry, p_queue));
    ELSE
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'offer_agent', p_entry.entry_id, v_offer,
                         acd_offer_data(p_entry, p_queue, p_agent, p_forced, p_now));
    END IF;
    RETURN v_offer;
END $$;
COMMENT ON FUNCTION acd_make_offer(queue_entry, queue, integer, boolean, jsonb, timestamptz) IS 'Reserves one agent for an entry and has him rung.';

CREATE FUNCTION acd_dial_data(p_entry queue_entry, p_queue queue) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN jsonb_build_object(
        'number', p_entry.number, 'caller_id', p_queue.callback_caller_id, 'ring_seconds', p_queue.callback_ring_seconds,
        'first', p_entry.callback_first, 'call', p_entry.call_id, 'settings', acd_settings(p_queue.tenant_id, p_queue.queue_id));
END $$;
COMMENT ON FUNCTION acd_dial_data(queue_entry, queue) IS 'Data of dial.';

CREATE FUNCTION acd_offer_entry(p_tenant integer, p_entry bigint, p_forced_agent integer, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
-- False: a callback that no host can carry now, looked at again in a moment; or a task that must not be dialled any
-- more, which ends here.
DECLARE
    v_host text;
    e queue_entry;
    q queue;
    v_agents integer[];
    v_candidates jsonb;
    v_draw record;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF e.variables ? 'dial' AND NOT e.anchored AND dial_refuse(e, p_now) THEN
        RETURN false;
    END IF;
    IF e.holder IS NULL THEN
        v_host := acd_pick_host();
        -- Nobody holds a lead that an agent only looks at: it is given to a host when he accepts.
        e.holder := CASE WHEN e.variables #> '{dial,preview_seconds}' IS NULL THEN v_host END;
        IF v_host IS NULL THEN
            UPDATE queue_entry SET not_before = p_now + interval '5 s', due_at = p_now + interval '5 s'
            WHERE tenant_id = p_tenant AND entry_id = p_entry;
            RETURN false;
        END IF;
    END IF;
    v_candidates := acd_candidates(e, q, p_now);
    IF p_forced_agent IS NOT NULL THEN
        v_agents := ARRAY[p_forced_agent];
    ELSIF q.strategy = 'random' THEN
        v_draw := acd_draw(e, p_now);
        v_agents := v_draw.agents;
        v_candidates := v_candidates || v_draw.told;
    ELSE
        -- A lead is looked at by one agent at a time, whatever the strategy.
        v_agents := acd_best_agents(e, p_now, CASE WHEN q.strategy = 'ring_all' AND e.variables #> '{dial,preview_seconds}' IS NULL THEN q.ring_all_limit ELSE 1 END);
    END IF;
    UPDATE queue_entry SET state = 'offered', state_at = p_now, due_at = NULL, offers = offers + 1, holder = e.holder
    WHERE tenant_id = p_tenant AND entry_id = p_entry;
    FOR i IN 1 .. cardinality(v_agents) LOOP
        PERFORM acd_make_offer(e, q, v_agents[i], p_forced_agent IS NOT NULL, CASE i WHEN 1 THEN v_candidates ELSE '{}' END, p_now);
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION acd_offer_entry(integer, bigint, integer, timestamptz) IS 'Offers a waiting entry to the agents that the strategy chooses, or to the one that somebody chose.';

-- ----------------------------------------------------------------------------------------------- match

CREATE FUNCTION acd_callable(p_tenant integer, p_agent integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT CASE WHEN NOT enabled OR NOT registered THEN 'gone' WHEN offer_id IS NOT NULL OR legs > 0 THEN 'busy' ELSE 'now' END
        FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent), 'gone');
END $$;
COMMENT ON FUNCTION acd_callable(integer, integer) IS 'Whether a chosen agent can be rung whatever his state: now, busy (later) or gone.';

CREATE FUNCTION acd_match(p_tenant integer, p_now timestamptz, p_entry bigint DEFAULT NULL, p_agent integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
-- The one match function. Before a transition no waiting entry and ready agent could be paired; so only pairs with
-- the entry or the agent that changed are looked for. An agent who is found always gets the caller who is first in
-- the order, and a caller always the agent whom his queue's strategy wants: a newcomer may wait because an older
-- caller, who could not have an agent a moment ago, gets him.
DECLARE
    v_entry bigint;
    v_assigned integer;
    e queue_entry;
BEGIN
    LOOP
        IF p_agent IS NOT NULL THEN
            EXIT WHEN acd_callable(p_tenant, p_agent) <> 'now';
            SELECT entry_id INTO v_entry FROM queue_entry
            WHERE tenant_id = p_tenant AND assigned_agent = p_agent AND state = 'waiting' AND (not_before IS NULL OR not_before <= p_now)
            ORDER BY order_class DESC, order_at, entry_id LIMIT 1;
            v_assigned := CASE WHEN v_entry IS NOT NULL THEN p_agent END;
            v_entry := coalesce(v_entry, acd_best_entry(p_tenant, p_agent, p_now));
        ELSE
            SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
            EXIT WHEN e.state <> 'waiting' OR e.not_before > p_now;
            v_assigned := acd_assigned_now(e, p_now);
            EXIT WHEN v_assigned = 0;
            v_entry := CASE WHEN v_assigned IS NOT NULL THEN p_entry
                            ELSE acd_best_entry(p_tenant, (acd_best_agents(e, p_now, 1))[1], p_now) END;
        END IF;
        EXIT WHEN v_entry IS NULL;
        IF NOT acd_offer_entry(p_tenant, v_entry, v_assigned, p_now) AND v_entry = p_entry THEN
            EXIT;
        END IF;
    END LOOP;
    IF p_entry IS NOT NULL AND e.state = 'waiting' THEN
        SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state = 'waiting';
        IF FOUND THEN
            PERFORM acd_set_due(e, p_now);
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION acd_match(integer, timestamptz, bigint, integer) IS 'Pairs waiting entries and ready agents until nothing more is possible for this entry or this agent.';

CREATE FUNCTION acd_assigned_now(p_entry queue_entry, p_now timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
-- An agent who has gone since does not keep his caller waiting for ever: the caller is anybody's again.
DECLARE
    v_callable text;
BEGIN
    IF p_entry.assigned_agent IS NULL THEN
        RETURN NULL;
    END IF;
    v_callable := acd_callable(p_entry.tenant_id, p_entry.assigned_agent);
    IF v_callable = 'now' THEN
        RETURN p_entry.assigned_agent;
    ELSIF v_callable = 'busy' THEN
        RETURN 0;
    END IF;
    UPDATE queue_entry SET assigned_agent = NULL WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.wait', p_entry.queue_id, p_entry.entry_id, NULL, p_entry.assigned_agent, p_entry.call_id,
                     '{"cause": "the chosen agent is gone"}');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION acd_assigned_now(queue_entry, timestamptz) IS 'The chosen agent if he can be rung now, 0 if later, null if any agent may have the caller.';

CREATE FUNCTION acd_match_queue(p_tenant integer, p_queue integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- After a change of configuration. At most as many rounds as there are ready agents.
DECLARE
    v_agent integer;
    v_last integer := 0;
BEGIN
    LOOP
        SELECT min(agent_id) INTO v_agent FROM ready_agent WHERE queue_id = p_queue AND agent_id > v_last;
        EXIT WHEN v_agent IS NULL OR NOT EXISTS (SELECT FROM queue_entry WHERE queue_id = p_queue AND state = 'waiting');
        PERFORM acd_match(p_tenant, p_now, p_agent => v_agent);
        v_last := v_agent;
    END LOOP;
END $$;
COMMENT ON FUNCTION acd_match_queue(integer, integer, timestamptz) IS 'Matches every ready agent of a queue.';
