-- Call distribution: dialogs and registrations of agents' accounts, against what proxies really have (docs/acd.md, section 4).

CREATE FUNCTION acd_set_legs(p_tenant integer, p_agent integer, p_event text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE agent_live
    SET legs = (SELECT count(*) FROM agent_leg WHERE tenant_id = p_tenant AND agent_id = p_agent), event = p_event, event_at = p_now, event_by = ''
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    PERFORM acd_match(p_tenant, p_now, p_agent => p_agent);
END $$;
COMMENT ON FUNCTION acd_set_legs(integer, integer, text, timestamptz) IS 'Counts the dialogs of an agent again.';

CREATE FUNCTION acd_leg_start(
    p_tenant integer, p_account integer, p_proxy text, p_sip_call_id text, p_direction text, p_peer text DEFAULT '', p_confirmed boolean DEFAULT false
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant, p_proxy);
    v_agent integer;
BEGIN
    SELECT agent_id INTO v_agent FROM agent WHERE tenant_id = p_tenant AND account_id = p_account;
    IF FOUND THEN
        INSERT INTO agent_leg (tenant_id, account_id, proxy, sip_call_id, agent_id, direction, peer, confirmed, started_at)
        VALUES (p_tenant, p_account, p_proxy, p_sip_call_id, v_agent, p_direction, p_peer, p_confirmed, v_now)
        ON CONFLICT (tenant_id, account_id, proxy, sip_call_id) DO UPDATE SET confirmed = excluded.confirmed, missing_since = NULL;
        PERFORM acd_set_legs(p_tenant, v_agent, 'leg_start', v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_leg_start(integer, integer, text, text, text, text, boolean) IS 'An agent''s account is in a dialog that is no offer: he is busy.';

CREATE FUNCTION acd_leg_end(p_tenant integer, p_account integer, p_proxy text, p_sip_call_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant, p_proxy);
    v_agent integer;
BEGIN
    DELETE FROM agent_leg
    WHERE tenant_id = p_tenant AND account_id = p_account AND proxy = p_proxy AND sip_call_id = p_sip_call_id RETURNING agent_id INTO v_agent;
    IF FOUND THEN
        PERFORM acd_set_legs(p_tenant, v_agent, 'leg_end', v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_leg_end(integer, integer, text, text) IS 'That dialog is over.';

CREATE FUNCTION acd_drop_leg(p_leg agent_leg, p_cause text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_leg.tenant_id);
BEGIN
    DELETE FROM agent_leg
    WHERE tenant_id = p_leg.tenant_id AND account_id = p_leg.account_id AND proxy = p_leg.proxy AND sip_call_id = p_leg.sip_call_id;
    IF FOUND THEN
        PERFORM acd_repair(p_leg.tenant_id, 'leg', p_cause, NULL, NULL, NULL, p_leg.agent_id, NULL, v_now);
        PERFORM acd_set_legs(p_leg.tenant_id, p_leg.agent_id, 'leg_end', v_now);
        PERFORM acd_finish_transition(p_leg.tenant_id, false);
    END IF;
END $$;
COMMENT ON FUNCTION acd_drop_leg(agent_leg, text) IS 'A dialog that does not exist any more keeps nobody busy.';

CREATE FUNCTION acd_end_direct(p_offer offer, p_cause text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_offer.tenant_id);
    v_freed integer[];
BEGIN
    IF EXISTS (SELECT FROM offer WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id AND state = 'answered') THEN
        PERFORM acd_repair(p_offer.tenant_id, 'offer', p_cause, p_offer.queue_id, p_offer.entry_id, p_offer.offer_id, p_offer.agent_id, p_offer.call_id, v_now);
        v_freed := acd_close_offers(p_offer.tenant_id, p_offer.entry_id, 'lost', p_cause, 'system', v_now);
        PERFORM acd_end_entry(p_offer.tenant_id, p_offer.entry_id, 'served', 'system', jsonb_build_object('cause', p_cause), v_now);
        PERFORM acd_match_agents(p_offer.tenant_id, v_freed, v_now);
        PERFORM acd_finish_transition(p_offer.tenant_id, false);
    END IF;
END $$;
COMMENT ON FUNCTION acd_end_direct(offer, text) IS 'A direct call of which the proxy knows nothing any more is over.';

CREATE FUNCTION acd_legs_sync(p_proxy text, p_legs jsonb, p_known text[]) RETURNS integer LANGUAGE plpgsql AS $$
-- Missing twice, more than a second apart, is gone. What is there and not known here begins now; a dialog that is an
-- open offer is no leg of its own. Tenant by tenant in ascending order, as everybody locks who needs several.
DECLARE
    v_count integer := 0;
    v_now timestamptz;
    j record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE node SET heartbeat_at = clock_timestamp() WHERE name = p_proxy AND kind = 'proxy';
    FOR j IN
        SELECT g.tenant_id, CASE WHEN g.sip_call_id = ANY (p_known) THEN 'seen' ELSE 'leg' END AS what,
               g.account_id, g.sip_call_id, g.missing_since, NULL::bigint AS offer_id, g.direction, g.peer, g.confirmed
        FROM agent_leg g
        WHERE g.proxy = p_proxy AND g.started_at < clock_timestamp() - interval '2 s'
          AND (g.sip_call_id = ANY (p_known)) = (g.missing_since IS NOT NULL)
           OR g.proxy = p_proxy AND g.missing_since IS NOT NULL
        UNION ALL
        SELECT f.tenant_id, 'offer', NULL, f.agent_sip_call_id, f.missing_since, f.offer_id, NULL, NULL, NULL
        FROM offer f
        WHERE f.state = 'answered' AND f.holder = p_proxy AND f.agent_sip_call_id IS NOT NULL
          AND f.answered_at < clock_timestamp() - interval '2 s' AND f.agent_sip_call_id <> ALL (p_known)
        UNION ALL
        SELECT a.tenant_id, 'new', a.account_id, x.sip_call_id, NULL, NULL, x.direction, x.peer, x.confirmed
        FROM jsonb_to_recordset(p_legs) AS x (tenant integer, account integer, sip_call_id text, direction text, peer text, confirmed boolean, offer bigint)
        JOIN agent a ON a.tenant_id = x.tenant AND a.account_id = x.account
        WHERE NOT EXISTS (SELECT FROM offer f WHERE f.tenant_id = x.tenant AND f.offer_id = x.offer AND f.state <> 'ended')
          AND NOT EXISTS (SELECT FROM agent_leg g WHERE g.tenant_id = x.tenant AND g.account_id = x.account AND g.proxy = p_proxy
                                                    AND g.sip_call_id = x.sip_call_id)
        ORDER BY 1, 2
    LOOP
        v_now := acd_begin(j.tenant_id);
        IF j.what = 'seen' THEN
            UPDATE agent_leg SET missing_since = NULL WHERE tenant_id = j.tenant_id AND account_id = j.account_id AND proxy = p_proxy AND sip_call_id = j.sip_call_id;
        ELSIF j.what = 'new' THEN
            PERFORM acd_leg_start(j.tenant_id, j.account_id, p_proxy, j.sip_call_id, j.direction, j.peer, j.confirmed);
            PERFORM acd_repair(j.tenant_id, 'leg', 'the proxy has a dialog that nobody told', NULL, NULL, NULL, agent_id, NULL, v_now)
            FROM agent WHERE tenant_id = j.tenant_id AND account_id = j.account_id;
            v_count := v_count + 1;
        ELSIF j.missing_since < v_now - interval '1 s' AND j.what = 'leg' THEN
            PERFORM acd_drop_leg(g, 'the proxy does not know the dialog') FROM agent_leg g
            WHERE g.tenant_id = j.tenant_id AND g.account_id = j.account_id AND g.proxy = p_proxy AND g.sip_call_id = j.sip_call_id;
            v_count := v_count + 1;
        ELSIF j.missing_since < v_now - interval '1 s' THEN
            PERFORM acd_end_direct(f, 'the proxy does not know the dialog') FROM offer f WHERE f.tenant_id = j.tenant_id AND f.offer_id = j.offer_id;
            v_count := v_count + 1;
        ELSIF j.missing_since IS NULL THEN
            UPDATE agent_leg SET missing_since = v_now
            WHERE j.what = 'leg' AND tenant_id = j.tenant_id AND account_id = j.account_id AND proxy = p_proxy AND sip_call_id = j.sip_call_id;
            UPDATE offer SET missing_since = v_now WHERE j.what = 'offer' AND tenant_id = j.tenant_id AND offer_id = j.offer_id;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_legs_sync(text, jsonb, text[]) IS 'Compares the dialogs of a proxy with agent_leg and with direct calls; returns how many repairs were made.';

CREATE FUNCTION acd_check_proxies() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_leg agent_leg;
    v_count integer := 0;
BEGIN
    FOR v_leg IN
        SELECT g.* FROM agent_leg g LEFT JOIN node n ON n.name = g.proxy
        WHERE coalesce(n.heartbeat_at, '-infinity') < clock_timestamp() - interval '8 s' AND g.started_at < clock_timestamp() - interval '8 s'
        ORDER BY g.tenant_id, g.account_id
    LOOP
        PERFORM acd_drop_leg(v_leg, 'no heartbeat of the proxy for 8 s');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_check_proxies() IS 'Dialogs of a proxy that is gone keep nobody busy; returns how many there were.';

CREATE FUNCTION acd_check_registrations() RETURNS integer LANGUAGE plpgsql AS $$
-- A phone that registers anew may be missing for a moment: who is missing for 3 s is not registered.
DECLARE
    a record;
    v_now timestamptz;
    v_count integer := 0;
BEGIN
    FOR a IN
        WITH there AS (
            SELECT DISTINCT d.tenant_id, l.username FROM kamailio.location l JOIN domain d ON d.name = l.domain)
        SELECT g.tenant_id, g.agent_id, there.username IS NOT NULL AS there
        FROM agent g
        JOIN account c ON c.tenant_id = g.tenant_id AND c.account_id = g.account_id
        JOIN agent_live v ON v.tenant_id = g.tenant_id AND v.agent_id = g.agent_id
        LEFT JOIN there ON there.tenant_id = g.tenant_id AND there.username = c.username
        WHERE v.registered <> (there.username IS NOT NULL) OR v.unseen_since IS NOT NULL
        ORDER BY g.tenant_id, g.agent_id
    LOOP
        v_now := acd_begin(a.tenant_id);
        UPDATE agent_live
        SET unseen_since = CASE WHEN NOT a.there AND registered THEN coalesce(unseen_since, v_now) END,
            registered = CASE WHEN a.there THEN true ELSE registered AND (unseen_since IS NULL OR unseen_since > v_now - interval '3 s') END,
            event = CASE WHEN a.there THEN 'register' ELSE 'unregister' END, event_at = v_now, event_by = 'system'
        WHERE tenant_id = a.tenant_id AND agent_id = a.agent_id;
        PERFORM dial_preview_drop(a.tenant_id, a.agent_id, 'the phone is gone', v_now)
        FROM agent_live v WHERE v.tenant_id = a.tenant_id AND v.agent_id = a.agent_id AND NOT v.registered;
        PERFORM acd_match(a.tenant_id, v_now, p_agent => a.agent_id) WHERE a.there;
        PERFORM acd_finish_transition(a.tenant_id, false);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_check_registrations() IS 'Compares the registered phones with what is known of agents; returns how many differed.';
