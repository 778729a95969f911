-- Agent first: a lead waits in the queue as a callback for an agent, and is called when one has read its text.
-- The attempt follows its entry; call distribution (schema/5*_acd_*.sql) does the rest. docs/dialler.md explains.

CREATE FUNCTION dial_order_agents(tenant integer, campaign integer, orders jsonb) RETURNS integer LANGUAGE plpgsql AS $$
-- In the transaction of lead_take. A task goes behind every caller of the queue, unless it is urgent.
DECLARE
    o record;
    a attempt;
    c campaign;
    l lead;
    v_entry bigint;
    v_ordered integer := 0;
BEGIN
    SELECT x.* INTO STRICT c FROM campaign x WHERE x.tenant_id = tenant AND x.campaign_id = campaign;
    FOR o IN SELECT * FROM jsonb_to_recordset(orders) AS x (lead_id bigint, position smallint, number text, caller_id text, preempts boolean) LOOP
        SELECT x.* INTO STRICT l FROM lead x WHERE x.tenant_id = tenant AND x.lead_id = o.lead_id;
        INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, caller_id, expires_at)
        VALUES (tenant, campaign, o.lead_id, o.position, acd_uuid7(clock_timestamp()), o.number, coalesce(o.caller_id, ''), clock_timestamp() + interval '10 years')
        RETURNING * INTO a;
        v_entry := acd_callback_add(tenant, coalesce(l.queue_id, c.queue_id), o.number, jsonb_build_object(
            'call', a.call_id, 'first', 'agent', 'priority', CASE WHEN o.preempts THEN 1000 ELSE -1000 END,
            'variables', (dial_settings(c, l) -> 'variables') || jsonb_build_object('dial', jsonb_build_object(
                'attempt', a.attempt_id, 'caller_id', a.caller_id, 'reading_seconds', c.reading_seconds,
                'ring_seconds', c.ring_seconds, 'agent_ring_seconds', c.agent_ring_seconds))), 'campaign');
        UPDATE attempt SET entry_id = v_entry WHERE tenant_id = tenant AND attempt_id = a.attempt_id RETURNING * INTO a;
        IF NOT EXISTS (SELECT FROM queue_entry WHERE tenant_id = tenant AND entry_id = v_entry AND call_id = a.call_id) THEN
            PERFORM dial_end(a, 'refused', '{"why": "a callback to this number waits already"}');
        END IF;
        v_ordered := v_ordered + 1;
    END LOOP;
    RETURN v_ordered;
END $$;
COMMENT ON FUNCTION dial_order_agents(integer, integer, jsonb) IS 'Makes attempts of leads that lead_take has given, and puts them into the queue for an agent. Returns how many.';

CREATE FUNCTION dial_unreached(e queue_entry, p_code integer) RETURNS void LANGUAGE sql AS $$
UPDATE attempt SET facts = facts || jsonb_build_object('code', coalesce(p_code, 0), 'rang', true, 'ours', p_code IS NULL)
WHERE attempt_id = (e.variables #>> '{dial,attempt}')::bigint AND entry_id = e.entry_id
$$;
COMMENT ON FUNCTION dial_unreached(queue_entry, integer) IS 'Notes why the person of an agent-first attempt was not reached; no code: a fault of ours.';

CREATE FUNCTION dial_follow_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a attempt;
BEGIN
    SELECT * INTO a FROM attempt WHERE attempt_id = (NEW.variables #>> '{dial,attempt}')::bigint AND entry_id = NEW.entry_id FOR UPDATE;
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
        PERFORM dial_end(a, CASE WHEN a.facts ? 'code' THEN NULL WHEN NEW.end_reason = 'host_lost' THEN 'lost' ELSE 'no_agent' END::attempt_outcome);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION dial_follow_entry() IS 'Row trigger: the attempt of an agent-first campaign follows its callback in the queue.';
CREATE TRIGGER dial_follow_entry AFTER UPDATE ON queue_entry FOR EACH ROW
    WHEN (NEW.kind = 'callback' AND NEW.variables ? 'dial') EXECUTE FUNCTION dial_follow_entry();

CREATE FUNCTION dial_withdraw() RETURNS integer LANGUAGE plpgsql AS $$
-- The lock of the match domain first, as everywhere; who is being rung or talks goes on.
DECLARE
    w record;
    v_now timestamptz;
    v_count integer := 0;
BEGIN
    FOR w IN
        SELECT a.tenant_id, a.entry_id FROM attempt a JOIN campaign c USING (tenant_id, campaign_id)
        WHERE a.state = 'ordered' AND a.entry_id IS NOT NULL AND c.state <> 'running' ORDER BY a.tenant_id, a.entry_id LIMIT 500
    LOOP
        v_now := acd_begin(w.tenant_id);
        IF EXISTS (SELECT FROM queue_entry WHERE tenant_id = w.tenant_id AND entry_id = w.entry_id AND state = 'waiting' AND NOT anchored) THEN
            PERFORM acd_end_entry(w.tenant_id, w.entry_id, 'cancelled', 'system', '{"cause": "the campaign does not run"}', v_now);
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION dial_withdraw() IS 'Takes tasks of campaigns that do not run any more out of their queues. Returns how many.';
