-- Attempts: one row is one dial of one number. Orders to media hosts, their leases, what hosts tell. docs/dialler.md explains.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE attempt_state AS ENUM (
    'ordered',   -- no media host has taken it; may still be withdrawn
    'taken',     -- a media host has taken it: the number may have been dialled
    'answered',  -- somebody, or something, answered
    'ended',     -- over; what follows for the lead is not decided yet
    'settled'    -- the lead knows
);

CREATE TYPE attempt_outcome AS ENUM (
    'answered',   -- a person heard what was to be said, or talked to an agent
    'unheard',    -- answered, and hung up before enough was heard
    'abandoned',  -- answered, and no agent was there in time
    'machine',    -- a machine answered
    'busy',       -- the line is busy
    'no_answer',  -- it rang, and nobody answered
    'declined',   -- the person declined
    'invalid',    -- there is no such number
    'opted_out',  -- the person asked not to be called any more
    'refused',    -- not dialled: do-not-call list, or the campaign did not run any more
    'congested',  -- a carrier could not complete the call
    'no_agent',   -- agent first: the agent was lost before the person was reached
    'ours',       -- a fault of ours: no route, no media, no line
    'untaken',    -- not dialled: no media host took the order in time
    'lost',       -- the media host died; the person may have been rung
    'skipped'     -- preview: the agent did not want to call this lead
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE attempt (
    tenant_id    integer NOT NULL,
    attempt_id   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT attempt_id_key UNIQUE,
    campaign_id  integer NOT NULL,
    lead_id      bigint NOT NULL,
    position     smallint NOT NULL,
    call_id      uuid NOT NULL,
    number       text NOT NULL,
    caller_id    text NOT NULL DEFAULT '',
    state        attempt_state NOT NULL DEFAULT 'ordered',
    outcome      attempt_outcome,
    ordered_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    taken_at     timestamptz,
    answered_at  timestamptz,
    ended_at     timestamptz,
    settled_at   timestamptz,
    host         text,
    boot         uuid,
    lease_until  timestamptz,
    facts        jsonb NOT NULL DEFAULT '{}',
    entry_id     bigint,
    CONSTRAINT attempt_pkey PRIMARY KEY (tenant_id, attempt_id),
    CONSTRAINT attempt_lead_fkey FOREIGN KEY (tenant_id, lead_id) REFERENCES lead ON DELETE CASCADE,
    CONSTRAINT attempt_taken_check CHECK (state NOT IN ('taken', 'answered') OR taken_at IS NOT NULL AND lease_until IS NOT NULL),
    CONSTRAINT attempt_ended_check CHECK ((state IN ('ended', 'settled')) = (ended_at IS NOT NULL)),
    CONSTRAINT attempt_settled_check CHECK ((state = 'settled') = (settled_at IS NOT NULL) AND (state <> 'settled' OR outcome IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE attempt IS 'One dial of one number of a lead, from the order to what followed. Kept as long as the lead.';
COMMENT ON COLUMN attempt.position IS 'Which of the lead''s numbers.';
COMMENT ON COLUMN attempt.call_id IS 'Its call: the story is read by it (ksctl call show).';
COMMENT ON COLUMN attempt.expires_at IS 'An order that nobody has taken by then is withdrawn.';
COMMENT ON COLUMN attempt.host IS 'Media host that took it, and the life of it (boot).';
COMMENT ON COLUMN attempt.lease_until IS 'The host renews it while it holds the dial; when it is over the dial is lost.';
COMMENT ON COLUMN attempt.entry_id IS 'Agent first: the callback in the queue that waits for the agent; null: media hosts take the order.';
COMMENT ON COLUMN attempt.facts IS 'What the host told (sems_apps.actions.ReportDial): code, cause, ours, rang, verdict, heard_ms, key, choice …';
CREATE UNIQUE INDEX attempt_open_idx ON attempt (lead_id) WHERE state <> 'settled';
COMMENT ON INDEX attempt_open_idx IS 'A lead has at most one open attempt: nobody is rung twice at once.';
CREATE INDEX attempt_ordered_idx ON attempt (attempt_id) WHERE state = 'ordered' AND entry_id IS NULL;
COMMENT ON INDEX attempt_ordered_idx IS 'Orders that a media host may take.';
CREATE INDEX attempt_held_idx ON attempt (host) WHERE state IN ('taken', 'answered');
COMMENT ON INDEX attempt_held_idx IS 'Dials that a media host holds.';
CREATE INDEX attempt_ended_idx ON attempt (attempt_id) WHERE state = 'ended';
COMMENT ON INDEX attempt_ended_idx IS 'Dials to be settled.';
CREATE INDEX attempt_open_campaign_idx ON attempt (campaign_id) WHERE state IN ('ordered', 'taken', 'answered');
COMMENT ON INDEX attempt_open_campaign_idx IS 'Lines of a campaign in use.';
CREATE INDEX attempt_lead_idx ON attempt (tenant_id, lead_id, attempt_id);
COMMENT ON INDEX attempt_lead_idx IS 'History of a lead.';
CREATE INDEX attempt_campaign_idx ON attempt (tenant_id, campaign_id, ordered_at);
COMMENT ON INDEX attempt_campaign_idx IS 'campaign report, campaign export.';
CREATE INDEX attempt_call_idx ON attempt (call_id);
COMMENT ON INDEX attempt_call_idx IS 'The attempt of a call.';

CREATE TABLE campaign_count (
    tenant_id    integer NOT NULL,
    campaign_id  integer NOT NULL,
    outcome      attempt_outcome NOT NULL,
    attempts     bigint NOT NULL DEFAULT 0 CONSTRAINT campaign_count_attempts_check CHECK (attempts >= 0),
    CONSTRAINT campaign_count_pkey PRIMARY KEY (tenant_id, campaign_id, outcome),
    CONSTRAINT campaign_count_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE
);
COMMENT ON TABLE campaign_count IS 'Settled attempts of a campaign by outcome, counted in the transaction that settles them: equal to the rows of attempt.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION dial_lease() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '30 s' $$;
COMMENT ON FUNCTION dial_lease() IS 'A media host that has said nothing for so long has lost its dials.';

CREATE FUNCTION dial_order(tenant integer, campaign integer, orders jsonb, good_for interval DEFAULT '10 s') RETURNS integer LANGUAGE plpgsql AS $$
-- In the transaction of lead_take, so that a lead is dialling exactly when it has an open attempt.
DECLARE
    ordered integer;
BEGIN
    INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, caller_id, expires_at, facts)
    SELECT tenant, campaign, x.lead_id, x.position, acd_uuid7(clock_timestamp()), x.number, coalesce(x.caller_id, ''), clock_timestamp() + good_for,
           jsonb_strip_nulls(jsonb_build_object('via', x.via))
    FROM jsonb_to_recordset(orders) AS x (lead_id bigint, position smallint, number text, caller_id text, via jsonb);
    GET DIAGNOSTICS ordered = ROW_COUNT;
    -- A take commits synchronously and later, and so does nothing that this order is not there for.
    PERFORM pg_notify('dial_order', ''), set_config('synchronous_commit', 'off', true);
    RETURN ordered;
END $$;
COMMENT ON FUNCTION dial_order(integer, integer, jsonb, interval) IS 'Makes attempts of leads that lead_take has given: media hosts may take them. Returns how many.';

CREATE FUNCTION dial_end(ended attempt, how attempt_outcome, told jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
UPDATE attempt SET state = 'ended', ended_at = clock_timestamp(), outcome = how, facts = facts || told
WHERE tenant_id = ended.tenant_id AND attempt_id = ended.attempt_id AND state IN ('ordered', 'taken', 'answered')
$$;
COMMENT ON FUNCTION dial_end(attempt, attempt_outcome, jsonb) IS 'Ends an open attempt that no media host tells the end of.';

CREATE FUNCTION dial_settings(c campaign, l lead) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'ring_seconds', c.ring_seconds, 'language', c.language, 'audio', c.prompt, 'longest_seconds', c.max_call_seconds,
    'on_answer', CASE WHEN c.mode IN ('progressive', 'predictive') THEN 'queue' ELSE 'say' END,
    'queue', coalesce(l.queue_id, c.queue_id, 0), 'abandon_seconds', c.abandon_seconds, 'abandon_prompt', c.abandon_prompt,
    'machine_hears', c.machine_action = 'message', 'detect', c.detect_machines, 'machine_prompt', c.machine_prompt, 'record', c.record, 'gateway', coalesce(nullif(l.gateway, ''), c.gateway),
    'variables', l.variables || jsonb_strip_nulls(jsonb_build_object('lead', l.lead_id, 'campaign', c.name, 'lead_name', nullif(l.name, ''))),
    'keys', (SELECT coalesce(jsonb_object_agg(k.key, k.value || jsonb_build_object('queue', (
                 SELECT q.queue_id FROM queue q WHERE q.tenant_id = c.tenant_id AND q.name = k.value ->> 'queue'))), '{}')
             FROM jsonb_each(c.keys) AS k))
$$;
COMMENT ON FUNCTION dial_settings(campaign, lead) IS 'What a media host must know of a campaign and a lead (sems_apps.dial_order), as they are now.';

CREATE FUNCTION dial_take(p_host text, p_boot uuid, p_room integer)
RETURNS TABLE (tenant_id integer, attempt_id bigint, campaign_id integer, call_id uuid, number text, data jsonb) LANGUAGE plpgsql AS $$
-- The last look at everything that may have changed since the order: list, campaign, time. What passes is the host's
-- own from the commit on, which is synchronous: after a crash of the database it cannot be taken again.
DECLARE
    v_now timestamptz := clock_timestamp();
    a attempt;
    c campaign;
    v_listed text;
BEGIN
    FOR a IN SELECT t.* FROM attempt t WHERE t.state = 'ordered' AND t.entry_id IS NULL ORDER BY t.attempt_id LIMIT p_room FOR UPDATE SKIP LOCKED LOOP
        SELECT x.* INTO STRICT c FROM campaign x WHERE x.tenant_id = a.tenant_id AND x.campaign_id = a.campaign_id;
        v_listed := do_not_call_scope(a.tenant_id, a.campaign_id, a.number, v_now);
        IF a.expires_at <= v_now THEN
            PERFORM dial_end(a, 'untaken');
        ELSIF c.state <> 'running' OR v_listed IS NOT NULL THEN
            PERFORM dial_end(a, 'refused', jsonb_strip_nulls(jsonb_build_object('listed', v_listed, 'campaign', c.state)));
        ELSE
            UPDATE attempt t SET state = 'taken', taken_at = v_now, lease_until = v_now + dial_lease(), host = p_host, boot = p_boot
            WHERE t.tenant_id = a.tenant_id AND t.attempt_id = a.attempt_id;
            RETURN QUERY SELECT a.tenant_id, a.attempt_id, a.campaign_id, a.call_id, a.number, dial_settings(c, l) || jsonb_build_object('caller_id', a.caller_id)
                             || coalesce(a.facts -> 'via', '{}')
                         FROM lead l WHERE l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION dial_take(text, uuid, integer) IS 'Gives a media host orders, at most as many as it has room for; those that must not be dialled any more end here.';

CREATE FUNCTION dial_choose(a attempt, report jsonb) RETURNS void LANGUAGE plpgsql AS $$
-- Takes effect at once and once: the report may be repeated.
DECLARE
    v_queue integer := nullif((report ->> 'queue')::integer, 0);
    v_variables jsonb;
BEGIN
    IF a.facts ->> 'choice' = report ->> 'choice' THEN
        RETURN;
    END IF;
    UPDATE attempt SET facts = facts || jsonb_build_object('choice', report ->> 'choice', 'key', report ->> 'key')
    WHERE tenant_id = a.tenant_id AND attempt_id = a.attempt_id;
    IF report ->> 'choice' = 'opt_out' THEN
        PERFORM do_not_call_add(a.tenant_id, NULL, a.number, 'opt_out ' || coalesce(report ->> 'key', ''));
    ELSIF report ->> 'choice' = 'callback' AND v_queue IS NOT NULL THEN
        SELECT dial_settings(c, l) -> 'variables' INTO v_variables
        FROM campaign c, lead l
        WHERE c.tenant_id = a.tenant_id AND c.campaign_id = a.campaign_id AND l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id;
        PERFORM acd_callback_add(a.tenant_id, v_queue, a.number, jsonb_build_object('variables', v_variables), 'campaign');
    END IF;
END $$;
COMMENT ON FUNCTION dial_choose(attempt, jsonb) IS 'A person has chosen: opt-out and callback take effect.';

CREATE FUNCTION dial_report(p_host text, p_boot uuid, p_reports jsonb) RETURNS integer LANGUAGE plpgsql AS $$
-- Each is safe to repeat. An end that comes after the lease was over changes facts only: the lead has gone on.
DECLARE
    r jsonb;
    a attempt;
    v_at timestamptz;
    v_count integer := 0;
BEGIN
    FOR r IN SELECT value FROM jsonb_array_elements(p_reports) ORDER BY (value ->> 'attempt')::bigint, value ->> 'at' LOOP
        SELECT * INTO a FROM attempt WHERE attempt_id = (r ->> 'attempt')::bigint AND host = p_host AND boot = p_boot FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        v_at := greatest(a.taken_at, least(clock_timestamp(), to_timestamp((r ->> 'at')::double precision)));
        v_count := v_count + 1;
        IF r ->> 'stage' = 'answered' THEN
            UPDATE attempt SET state = 'answered', answered_at = v_at
            WHERE tenant_id = a.tenant_id AND attempt_id = a.attempt_id AND state = 'taken';
        ELSIF r ->> 'stage' = 'chosen' THEN
            PERFORM dial_choose(a, r);
        ELSE
            UPDATE attempt SET facts = facts || (r - 'stage' - 'attempt' - 'at'), ended_at = coalesce(ended_at, v_at),
                state = CASE WHEN state IN ('taken', 'answered') THEN 'ended' ELSE state END,
                outcome = CASE WHEN state = 'ended' THEN NULL ELSE outcome END  -- lost, and not settled yet: better known now
            WHERE tenant_id = a.tenant_id AND attempt_id = a.attempt_id;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION dial_report(text, uuid, jsonb) IS 'How dials of a media host go (sems_apps.actions.ReportDial with "at", unix time). Returns how many were known.';

CREATE FUNCTION dial_beat(p_host text, p_boot uuid, p_live bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
-- Taken a moment ago may be an answer that the host has not read when it wrote down what it holds.
DECLARE
    v_now timestamptz := clock_timestamp();
    v_lost integer := 0;
    a attempt;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE attempt SET lease_until = v_now + dial_lease()
    WHERE host = p_host AND boot = p_boot AND state IN ('taken', 'answered') AND attempt_id = ANY (p_live)
      AND lease_until < v_now + dial_lease() * 0.7;
    FOR a IN
        SELECT * FROM attempt
        WHERE host = p_host AND state IN ('taken', 'answered')
          AND (boot <> p_boot OR NOT attempt_id = ANY (p_live) AND taken_at < v_now - interval '8 s')
        FOR UPDATE
    LOOP
        PERFORM dial_end(a, 'lost', jsonb_build_object('why', CASE WHEN a.boot <> p_boot THEN 'the host has started anew' ELSE 'the host does not know it' END));
        v_lost := v_lost + 1;
    END LOOP;
    RETURN v_lost;
END $$;
COMMENT ON FUNCTION dial_beat(text, uuid, bigint[]) IS 'Renews the leases of what a media host holds; what it should hold and does not is lost. Returns how many.';

CREATE FUNCTION dial_expire(leases boolean) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_count integer := 0;
    a attempt;
BEGIN
    FOR a IN
        SELECT t.* FROM attempt t JOIN campaign c USING (tenant_id, campaign_id)
        WHERE t.state = 'ordered' AND t.entry_id IS NULL AND (t.expires_at <= v_now OR c.state <> 'running') ORDER BY t.attempt_id LIMIT 500 FOR UPDATE OF t SKIP LOCKED
    LOOP
        PERFORM dial_end(a, CASE WHEN a.expires_at <= v_now THEN 'untaken' ELSE 'refused' END::attempt_outcome);
        v_count := v_count + 1;
    END LOOP;
    FOR a IN
        SELECT * FROM attempt WHERE leases AND state IN ('taken', 'answered') AND lease_until <= v_now
        ORDER BY attempt_id LIMIT 500 FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM dial_end(a, 'lost', '{"why": "the lease is over"}');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION dial_expire(boolean) IS 'Withdraws orders that nobody took and, with leases, ends dials whose host is silent. Returns how many.';

CREATE FUNCTION dial_settled(tenant integer, settled bigint, how attempt_outcome) RETURNS boolean LANGUAGE plpgsql AS $$
-- In the transaction that tells the lead.
DECLARE
    v_campaign integer;
    v_shown text;
    v_ordered_at timestamptz;
BEGIN
    UPDATE attempt SET state = 'settled', settled_at = clock_timestamp(), outcome = how
    WHERE tenant_id = tenant AND attempt_id = settled AND state = 'ended'
    RETURNING campaign_id, caller_id, ordered_at INTO v_campaign, v_shown, v_ordered_at;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO campaign_count AS c (tenant_id, campaign_id, outcome, attempts) VALUES (tenant, v_campaign, how, 1)
    ON CONFLICT (tenant_id, campaign_id, outcome) DO UPDATE SET attempts = c.attempts + 1;
    -- Nobody was called: it does not count against the day's cap.
    PERFORM caller_id_give_back(tenant, v_shown, v_ordered_at)
    WHERE how IN ('skipped', 'refused', 'untaken', 'no_agent')
      AND EXISTS (SELECT FROM campaign_caller_id p WHERE p.tenant_id = tenant AND p.campaign_id = v_campaign AND p.number = v_shown);
    RETURN true;
END $$;
COMMENT ON FUNCTION dial_settled(integer, bigint, attempt_outcome) IS 'Closes and counts an ended attempt; false: somebody else has.';

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL protect_tenant_rows('attempt');
CALL protect_tenant_rows('campaign_count');
REVOKE INSERT, UPDATE, DELETE ON attempt, campaign_count FROM kalibri_api;
