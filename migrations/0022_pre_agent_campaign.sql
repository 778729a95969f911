-- Agent first: a lead waits in the queue as a callback for an agent, and is called when one has read its text.
-- The attempt follows its entry; call distribution (schema/5*_acd_*.sql) does the rest. docs/dialler.md explains.
-- Preview is in 69_preview.sql.

CREATE FUNCTION dial_order_agents(tenant integer, campaign integer, orders jsonb) RETURNS integer LANGUAGE plpgsql AS $$
-- In the transaction of lead_take. A task goes behind every caller of the queue, unless it is urgent.
DECLARE
    o record;
    a attempt;
    c campaign;
    l lead;
    v_entry bigint;
    v_until timestamptz;
    v_ordered integer := 0;
BEGIN
    SELECT x.* INTO STRICT c FROM campaign x WHERE x.tenant_id = tenant AND x.campaign_id = campaign;
    FOR o IN SELECT * FROM jsonb_to_recordset(orders) AS x (lead_id bigint, position smallint, number text, caller_id text, preempts boolean, via jsonb) LOOP
        SELECT x.* INTO STRICT l FROM lead x WHERE x.tenant_id = tenant AND x.lead_id = o.lead_id;
        v_until := CASE WHEN c.mode = 'preview' THEN dial_all_skipped(tenant, coalesce(l.queue_id, c.queue_id), o.lead_id, clock_timestamp()) END;
        IF v_until IS NOT NULL THEN
            PERFORM lead_turn(tenant, o.lead_id, o.position, v_until, NULL);
            CONTINUE;
        END IF;
        INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, caller_id, expires_at)
        VALUES (tenant, campaign, o.lead_id, o.position, acd_uuid7(clock_timestamp()), o.number, coalesce(o.caller_id, ''), clock_timestamp() + interval '10 years')
        RETURNING * INTO a;
        v_entry := acd_callback_add(tenant, coalesce(l.queue_id, c.queue_id), o.number, jsonb_build_object(
            'call', a.call_id, 'first', 'agent', 'priority', CASE WHEN o.preempts THEN 1000 ELSE -1000 END,
            'variables', (dial_settings(c, l) -> 'variables') || jsonb_build_object('dial', jsonb_build_object(
                'attempt', a.attempt_id, 'lead', l.lead_id, 'caller_id', a.caller_id,
                'reading_seconds', CASE WHEN c.mode = 'preview' THEN 0 ELSE c.reading_seconds END,
                'ring_seconds', c.ring_seconds, 'agent_ring_seconds', c.agent_ring_seconds,
                'gateway', coalesce(nullif(l.gateway, ''), c.gateway)) || dial_preview_rules(c) || coalesce(o.via, '{}'))), 'campaign');
        UPDATE attempt SET entry_id = v_entry WHERE tenant_id = tenant AND attempt_id = a.attempt_id RETURNING * INTO a;
        IF NOT EXISTS (SELECT FROM queue_entry WHERE tenant_id = tenant AND entry_id = v_entry AND call_id = a.call_id AND state <> 'ended') THEN
            PERFORM dial_end(a, 'refused', '{"why": "a callback to this number waits already, or it must not be called any more"}');
        END IF;
        v_ordered := v_ordered + 1;
    END LOOP;
    RETURN v_ordered;
END $$;
COMMENT ON FUNCTION dial_order_agents(integer, integer, jsonb) IS 'Makes attempts of leads that lead_take has given, and puts them into the queue for an agent. Returns how many.';

CREATE FUNCTION dial_tell(e queue_entry, told jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- Owner's rights, as dial_follow_entry.
UPDATE attempt SET facts = facts || told
WHERE tenant_id = e.tenant_id AND attempt_id = (e.variables #>> '{dial,attempt}')::bigint AND entry_id = e.entry_id
$$;
COMMENT ON FUNCTION dial_tell(queue_entry, jsonb) IS 'Notes facts of the attempt that an entry in a queue stands for.';

CREATE FUNCTION dial_unreached(e queue_entry, p_code integer) RETURNS void LANGUAGE sql AS $$
SELECT dial_tell(e, jsonb_build_object('code', coalesce(p_code, 0), 'rang', true, 'ours', p_code IS NULL))
$$;
COMMENT ON FUNCTION dial_unreached(queue_entry, integer) IS 'Notes why the person of an agent-first attempt was not reached; no code: a fault of ours.';

CREATE FUNCTION dial_follow_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- Owner's rights: whoever may end an entry (a supervisor by the API) ends its attempt, which he may not write.
DECLARE
    a attempt;
BEGIN
    SELECT * INTO a FROM attempt
    WHERE tenant_id = NEW.tenant_id AND attempt_id = (NEW.variables #>> '{dial,attempt}')::bigint AND entry_id = NEW.entry_id FOR UPDATE;
    IF NOT FOUND OR a.state IN ('ended', 'settled') THEN
        RETURN NULL;
    END IF;
    IF NEW.anchored AND a.state = 'ordered' THEN
        UPDATE attempt SET state = 'answered', taken_at = clock_timestamp(), answered_at = clock_timestamp(), lease_until = clock_timestamp() + interval '10 years', host = NEW.holder
        WHERE tenant_id = a.tenant_id AND attempt_id = a.attempt_id;
    END IF;
    IF NEW.state = 'ended' AND NEW.anchored THEN
        PERFORM dial_end(a, NULL, jsonb_build_object('answered', true, 'talked', true, 'agent', NEW.agent_id));
    ELSIF NEW.state = 'ended' THEN
        PERFORM dial_end(a, CASE WHEN a.facts ? 'code' THEN NULL WHEN a.facts ? 'skipped' THEN 'skipped' WHEN a.facts ? 'refused' THEN 'refused'
                                 WHEN NEW.end_reason = 'host_lost' THEN 'lost' ELSE 'no_agent' END::attempt_outcome);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION dial_follow_entry() IS 'Row trigger: the attempt of an agent-first campaign follows its callback in the queue.';
CREATE TRIGGER dial_follow_entry AFTER UPDATE ON queue_entry FOR EACH ROW
    WHEN (NEW.kind = 'callback' AND NEW.variables ? 'dial') EXECUTE FUNCTION dial_follow_entry();

CREATE FUNCTION dial_seconds(e queue_entry, rule text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN e.kind = 'callback' AND NOT e.anchored THEN coalesce((e.variables -> 'dial' ->> rule)::integer, 0) ELSE 0 END
$$;
COMMENT ON FUNCTION dial_seconds(queue_entry, text) IS 'How long a campaign lets its agent ring or read, or its person ring; 0: no campaign says. Deadlines of offers allow for it.';

CREATE FUNCTION dial_rings_agent(o offer) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT o.rung_at IS NOT NULL AND EXISTS (SELECT FROM queue_entry e WHERE e.tenant_id = o.tenant_id AND e.entry_id = o.entry_id AND e.kind = 'callback' AND NOT e.anchored AND e.variables ? 'dial')
$$;
COMMENT ON FUNCTION dial_rings_agent(offer) IS 'An agent is rung for a lead: who does not answer then is paused at once.';

CREATE FUNCTION dial_wrapup(o offer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT c.wrapup_seconds FROM attempt a JOIN campaign c ON c.tenant_id = a.tenant_id AND c.campaign_id = a.campaign_id
        WHERE a.call_id = o.call_id AND a.tenant_id = o.tenant_id LIMIT 1),
        (SELECT q.wrapup_seconds FROM queue q WHERE q.tenant_id = o.tenant_id AND q.queue_id = o.queue_id));
END $$;
COMMENT ON FUNCTION dial_wrapup(offer) IS 'Wrap-up after a conversation: as the campaign of the call says, else as the queue.';

CREATE FUNCTION dial_obstacle(e queue_entry, at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
SELECT CASE WHEN c.state <> 'running' THEN 'the campaign does not run'
            WHEN l.expires_at <= at THEN 'the lead has expired'
            ELSE 'on the do-not-call list: ' || do_not_call_scope(a.tenant_id, a.campaign_id, a.number, at) END
FROM attempt a
JOIN campaign c ON c.tenant_id = a.tenant_id AND c.campaign_id = a.campaign_id
JOIN lead l ON l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id
WHERE a.attempt_id = (e.variables #>> '{dial,attempt}')::bigint AND a.tenant_id = e.tenant_id
$$;
COMMENT ON FUNCTION dial_obstacle(queue_entry, timestamptz) IS 'Why a task in a queue must not be dialled any more; null: it may be.';

CREATE FUNCTION dial_take_back(p_tenant integer, p_entry bigint, p_cause text, p_refused boolean, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
-- Refused: as by the last look before a dial; else the lead goes on unharmed. Agents who looked at it are free.
DECLARE
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    IF NOT FOUND OR e.state NOT IN ('waiting', 'offered') OR e.anchored THEN
        RETURN false;
    END IF;
    PERFORM dial_tell(e, jsonb_build_object(CASE WHEN p_refused THEN 'refused' ELSE 'withdrawn' END, p_cause));
    v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', p_cause, 'system', p_now);
    PERFORM acd_end_entry(p_tenant, p_entry, 'cancelled', 'system', jsonb_build_object('cause', p_cause), p_now);
    PERFORM acd_match_agents(p_tenant, v_freed, p_now);
    RETURN true;
END $$;
COMMENT ON FUNCTION dial_take_back(integer, bigint, text, boolean, timestamptz) IS 'Takes a task out of its queue whose person has not answered; false: too late.';

CREATE FUNCTION dial_refuse(e queue_entry, at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_why text := dial_obstacle(e, at);
BEGIN
    RETURN v_why IS NOT NULL AND dial_take_back(e.tenant_id, e.entry_id, v_why, v_why <> 'the campaign does not run', at);
END $$;
COMMENT ON FUNCTION dial_refuse(queue_entry, timestamptz) IS 'The last look before an agent is called: true if the task must not be dialled any more; it has ended then.';

CREATE FUNCTION dial_withdraw() RETURNS integer LANGUAGE plpgsql AS $$
-- The lock of the match domain first, as everywhere. A campaign that stops leaves those alone who are being rung;
-- somebody who does not want to be called is not called, whatever an agent is doing with his lead.
DECLARE
    w record;
    e queue_entry;
    v_now timestamptz;
    v_why text;
    v_count integer := 0;
BEGIN
    FOR w IN
        SELECT a.tenant_id, a.entry_id, c.mode FROM attempt a JOIN campaign c USING (tenant_id, campaign_id) JOIN queue_entry q USING (tenant_id, entry_id)
        WHERE a.state = 'ordered' AND a.entry_id IS NOT NULL
          AND (dial_obstacle(q, clock_timestamp()) IS NOT NULL
               OR c.mode = 'preview' AND q.state = 'waiting' AND dial_all_skipped(q.tenant_id, q.queue_id, a.lead_id, clock_timestamp()) IS NOT NULL)
        ORDER BY a.tenant_id, a.entry_id LIMIT 500
    LOOP
        v_now := acd_begin(w.tenant_id);
        SELECT * INTO e FROM queue_entry WHERE tenant_id = w.tenant_id AND entry_id = w.entry_id;
        v_why := dial_obstacle(e, v_now);
        IF v_why IS NULL THEN
            CONTINUE WHEN e.state <> 'waiting' OR NOT dial_take_back(e.tenant_id, e.entry_id, 'every agent at work has skipped it', false, v_now);
        ELSIF v_why = 'the campaign does not run' THEN
            CONTINUE WHEN NOT (e.state = 'waiting' OR dial_is_preview(e)) OR NOT dial_take_back(e.tenant_id, e.entry_id, v_why, false, v_now);
        ELSE
            CONTINUE WHEN NOT dial_take_back(e.tenant_id, e.entry_id, v_why, true, v_now);
        END IF;
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION dial_withdraw() IS 'Takes tasks out of their queues that must not be dialled any more, or that no agent at work wants. Returns how many.';

CREATE FUNCTION dial_withdraw_closed(tenant integer, campaign integer, open_sets integer[]) RETURNS integer LANGUAGE plpgsql AS $$
-- A task may have waited for an agent until it was too late where the person is.
DECLARE
    w record;
    e queue_entry;
    v_now timestamptz;
    v_count integer := 0;
BEGIN
    FOR w IN
        SELECT a.entry_id FROM attempt a JOIN lead l USING (tenant_id, lead_id)
        WHERE a.tenant_id = tenant AND a.campaign_id = campaign AND a.state = 'ordered' AND a.entry_id IS NOT NULL AND l.zone_set_id <> ALL (open_sets)
        ORDER BY a.entry_id
    LOOP
        v_now := acd_begin(tenant);
        SELECT * INTO e FROM queue_entry q WHERE q.tenant_id = tenant AND q.entry_id = w.entry_id;
        IF (e.state = 'waiting' OR dial_is_preview(e)) AND dial_take_back(tenant, w.entry_id, 'too early or too late where the person is', false, v_now) THEN
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION dial_withdraw_closed(integer, integer, integer[]) IS 'Takes tasks of a campaign out of their queues whose people are in zones that are closed now. Returns how many.';
