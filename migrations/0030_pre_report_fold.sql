-- Reports: how facts are built (schema/70_report.sql).
-- Queue events of a tenant are taken in the order of their seq, a batch at a time; what a batch says is merged into the rows of the facts.
-- Merging keeps the first (answered_at), the last (hung_up_by) or the sum (talk_ms), so it does not matter where batches end, and
-- a row knows the last event that is in it: none counts twice. Sums of a quarter of an hour are computed anew from the facts
-- whenever one of them changed; times of agents, which never change once over, are added.

CREATE FUNCTION report_slot(p_at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('15 minutes', p_at, '2000-01-01 00:00:00+00');
$$;
COMMENT ON FUNCTION report_slot(timestamptz) IS 'The quarter of an hour to which a time belongs. Every zone of today is whole quarters away from UTC.';

CREATE FUNCTION report_between(p_from timestamptz, p_to timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (date_part('epoch', p_to - p_from) * 1000)::bigint;
$$;
COMMENT ON FUNCTION report_between(timestamptz, timestamptz) IS 'Milliseconds between two times; reports count millions, so it does without numeric.';

CREATE FUNCTION report_ms(p_seconds jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(p_seconds) WHEN 'number' THEN (p_seconds::numeric * 1000)::bigint END;
$$;
COMMENT ON FUNCTION report_ms(jsonb) IS 'Seconds of an event in milliseconds; null if there are none.';

-- ---------------------------------------------------------------------------------------------- sums

CREATE FUNCTION report_queue_numbers(
    p_tenant integer, p_queues integer[], p_from timestamptz, p_until timestamptz
) RETURNS SETOF report_queue_slot LANGUAGE sql STABLE AS $$
    SELECT tenant_id, queue_id, report_slot(entered_at),
           count(*) FILTER (WHERE fate <> 'callback')::integer,
           count(*) FILTER (WHERE fate = 'answered')::integer,
           count(*) FILTER (WHERE fate = 'answered' AND wait_ms <= level_ms)::integer,
           count(*) FILTER (WHERE fate = 'abandoned')::integer,
           count(*) FILTER (WHERE fate = 'abandoned' AND wait_ms < short_ms)::integer,
           count(*) FILTER (WHERE fate = 'abandoned' AND wait_ms <= level_ms)::integer,
           count(*) FILTER (WHERE fate = 'timeout')::integer,
           count(*) FILTER (WHERE fate = 'full')::integer,
           count(*) FILTER (WHERE fate = 'empty')::integer,
           count(*) FILTER (WHERE fate = 'closed')::integer,
           count(*) FILTER (WHERE fate = 'exit_key')::integer,
           count(*) FILTER (WHERE fate = 'ejected')::integer,
           count(*) FILTER (WHERE fate = 'asked_callback')::integer,
           count(*) FILTER (WHERE fate = 'moved')::integer,
           count(*) FILTER (WHERE fate = 'failed')::integer,
           coalesce(sum(wait_ms) FILTER (WHERE fate = 'answered'), 0)::bigint,
           coalesce(sum(wait_ms) FILTER (WHERE fate = 'abandoned'), 0)::bigint,
           coalesce(sum(wait_ms) FILTER (WHERE fate NOT IN ('callback', 'open', 'answered', 'abandoned')), 0)::bigint,
           coalesce(max(wait_ms) FILTER (WHERE fate NOT IN ('callback', 'open')), 0),
           coalesce(sum(talk_ms) FILTER (WHERE fate <> 'callback'), 0)::bigint,
           coalesce(max(talk_ms) FILTER (WHERE fate <> 'callback'), 0),
           coalesce(sum(hold_ms) FILTER (WHERE fate <> 'callback'), 0)::bigint,
           coalesce(sum(wrapup_ms) FILTER (WHERE fate <> 'callback'), 0)::bigint,
           count(*) FILTER (WHERE hung AND hung_up_by = 'agent')::integer,
           count(*) FILTER (WHERE hung AND hung_up_by = 'caller')::integer,
           count(*) FILTER (WHERE hung AND hung_up_by NOT IN ('agent', 'caller'))::integer,
           count(*) FILTER (WHERE fate = 'answered' AND end_reason = 'transferred')::integer,
           count(survey) FILTER (WHERE fate <> 'callback')::integer,
           coalesce(sum(survey) FILTER (WHERE fate <> 'callback'), 0)::integer,
           coalesce(sum(offers) FILTER (WHERE fate <> 'callback'), 0)::integer,
           count(*) FILTER (WHERE fate = 'callback')::integer,
           count(dialled_at) FILTER (WHERE fate = 'callback')::integer,
           count(reached_at) FILTER (WHERE fate = 'callback')::integer,
           count(answered_at) FILTER (WHERE fate = 'callback')::integer,
           count(*) FILTER (WHERE fate = 'callback' AND end_reason = 'cancelled')::integer,
           count(*) FILTER (WHERE fate = 'callback' AND end_reason = 'expired')::integer,
           count(*) FILTER (WHERE fate = 'callback' AND end_reason IN ('failed', 'host_lost'))::integer,
           coalesce(sum(dials) FILTER (WHERE fate = 'callback'), 0)::integer,
           coalesce(sum(report_between(entered_at, dialled_at)) FILTER (WHERE fate = 'callback'), 0)::bigint,
           coalesce(sum(report_between(entered_at, answered_at)) FILTER (WHERE fate = 'callback'), 0)::bigint,
           coalesce(max(report_between(entered_at, answered_at)) FILTER (WHERE fate = 'callback'), 0),
           coalesce(sum(talk_ms) FILTER (WHERE fate = 'callback'), 0)::bigint
    FROM (SELECT e.*, report_between(entered_at, coalesce(answered_at, left_at)) AS wait_ms,
                 level_seconds * 1000 AS level_ms, short_seconds * 1000 AS short_ms,
                 kind = 'call' AND answered_at IS NOT NULL AND end_reason <> 'transferred' AS hung,
                 CASE WHEN kind = 'callback' THEN 'callback'
                      WHEN answered_at IS NOT NULL THEN 'answered'
                      WHEN end_reason IS NULL THEN 'open'
                      WHEN end_reason = 'callback' THEN 'asked_callback'
                      WHEN end_reason IN ('abandoned', 'timeout', 'full', 'empty', 'closed', 'exit_key', 'ejected', 'moved') THEN end_reason
                      ELSE 'failed' END AS fate
          FROM report_entry e
          WHERE e.tenant_id = p_tenant AND e.queue_id = ANY (p_queues) AND e.entered_at >= p_from AND e.entered_at < p_until
          OFFSET 0) AS stay  -- not pulled up: its columns would be computed again for each figure
    GROUP BY 1, 2, 3
$$;
COMMENT ON FUNCTION report_queue_numbers(integer, integer[], timestamptz, timestamptz) IS 'Sums of queues by quarter of an hour, from the facts.';

CREATE FUNCTION report_queue_in_time(
    p_tenant integer, p_queues integer[], p_from timestamptz, p_until timestamptz, p_level integer, p_short integer
) RETURNS TABLE (queue_id integer, slot timestamptz, answered_in_time integer, abandoned_short integer, abandoned_in_time integer)
LANGUAGE sql STABLE AS $$
    SELECT stay.queue_id, report_slot(stay.entered_at),
           count(*) FILTER (WHERE answered AND wait_ms <= level_ms)::integer,
           count(*) FILTER (WHERE NOT answered AND wait_ms < short_ms)::integer,
           count(*) FILTER (WHERE NOT answered AND wait_ms <= level_ms)::integer
    FROM (SELECT e.queue_id, e.entered_at, e.answered_at IS NOT NULL AS answered,
                 report_between(e.entered_at, coalesce(e.answered_at, e.left_at)) AS wait_ms,
                 coalesce(p_level, e.level_seconds) * 1000 AS level_ms, coalesce(p_short, e.short_seconds) * 1000 AS short_ms
          FROM report_entry e
          WHERE e.tenant_id = p_tenant AND (p_queues IS NULL OR e.queue_id = ANY (p_queues))
            AND e.entered_at >= p_from AND e.entered_at < p_until
            AND e.kind = 'call' AND (e.answered_at IS NOT NULL OR e.end_reason = 'abandoned')
          OFFSET 0) AS stay  -- not pulled up: its columns would be computed again for each figure
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION report_queue_in_time(integer, integer[], timestamptz, timestamptz, integer, integer) IS
    'The three sums of queues that hang on thresholds (seconds), from the facts; null: those that the queue had then.';

CREATE FUNCTION report_queue_slots(
    p_tenant integer, p_queues integer[], p_from timestamptz, p_until timestamptz, p_level integer, p_short integer
) RETURNS SETOF report_queue_slot LANGUAGE plpgsql STABLE SET work_mem = '64MB' AS $$
-- work_mem: a month of stays is summed in memory, not sorted on disk.
DECLARE
    v_row record;
    v_slot report_queue_slot;
BEGIN
    IF p_level IS NULL AND p_short IS NULL THEN
        RETURN QUERY SELECT s.* FROM report_queue_slot s
                     WHERE s.tenant_id = p_tenant AND s.slot >= p_from AND s.slot < p_until AND (p_queues IS NULL OR s.queue_id = ANY (p_queues));
        RETURN;
    END IF;
    FOR v_row IN
        SELECT s AS kept, coalesce(t.answered_in_time, 0) AS answered_in_time, coalesce(t.abandoned_short, 0) AS abandoned_short,
               coalesce(t.abandoned_in_time, 0) AS abandoned_in_time
        FROM report_queue_slot s
        LEFT JOIN report_queue_in_time(p_tenant, p_queues, p_from, p_until, p_level, p_short) t ON t.queue_id = s.queue_id AND t.slot = s.slot
        WHERE s.tenant_id = p_tenant AND s.slot >= p_from AND s.slot < p_until AND (p_queues IS NULL OR s.queue_id = ANY (p_queues))
    LOOP
        v_slot := v_row.kept;
        v_slot.answered_in_time := v_row.answered_in_time;
        v_slot.abandoned_short := v_row.abandoned_short;
        v_slot.abandoned_in_time := v_row.abandoned_in_time;
        RETURN NEXT v_slot;
    END LOOP;
END $$;
COMMENT ON FUNCTION report_queue_slots(integer, integer[], timestamptz, timestamptz, integer, integer) IS
    'Sums of queues (null: all) that are kept; what hangs on thresholds is, with other ones, counted from the facts.';

CREATE FUNCTION report_agent_numbers(p_tenant integer, p_agent integer, p_from timestamptz, p_until timestamptz)
RETURNS SETOF report_agent_slot LANGUAGE sql STABLE AS $$
    SELECT tenant_id, agent_id, queue_id, report_slot(made_at),
           count(*)::integer,
           count(joined_at)::integer,
           count(*) FILTER (WHERE joined_at IS NULL AND outcome = 'no_answer')::integer,
           count(*) FILTER (WHERE joined_at IS NULL AND outcome = 'rejected')::integer,
           count(*) FILTER (WHERE joined_at IS NULL AND outcome = 'busy')::integer,
           count(*) FILTER (WHERE joined_at IS NULL AND outcome = 'unreachable')::integer,
           count(*) FILTER (WHERE joined_at IS NULL AND outcome NOT IN ('no_answer', 'rejected', 'busy', 'unreachable'))::integer,
           coalesce(sum(ring_ms), 0)::bigint,
           coalesce(sum(talk_ms), 0)::bigint,
           coalesce(max(talk_ms), 0),
           coalesce(sum(hold_ms), 0)::bigint,
           coalesce(sum(wrapup_ms), 0)::bigint,
           count(*) FILTER (WHERE joined_at IS NOT NULL AND hung_up_by = 'agent' AND cause <> 'transferred')::integer
    FROM report_attempt
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND made_at >= p_from AND made_at < p_until
    GROUP BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION report_agent_numbers(integer, integer, timestamptz, timestamptz) IS 'Sums of the offers to an agent by quarter of an hour, from the facts.';

CREATE FUNCTION report_call_numbers(p_tenant integer, p_from timestamptz, p_until timestamptz)
RETURNS SETOF report_call_slot LANGUAGE sql STABLE AS $$
    SELECT tenant_id, report_slot(started_at), direction, cause, hung_up_by,
           count(*)::integer,
           count(*) FILTER (WHERE ended)::integer,
           count(*) FILTER (WHERE answered)::integer,
           sum(attempts)::integer,
           count(*) FILTER (WHERE emergency)::integer,
           sum(setup_ms)::bigint, max(setup_ms), sum(talk_ms)::bigint, max(talk_ms)
    FROM report_call
    WHERE tenant_id = p_tenant AND started_at >= p_from AND started_at < p_until
    GROUP BY 1, 2, 3, 4, 5
$$;
COMMENT ON FUNCTION report_call_numbers(integer, timestamptz, timestamptz) IS 'Sums of calls by quarter of an hour, from the facts.';

CREATE FUNCTION report_gateway_numbers(p_tenant integer, p_gateway integer, p_from timestamptz, p_until timestamptz)
RETURNS SETOF report_gateway_slot LANGUAGE sql STABLE AS $$
    SELECT tenant_id, gateway_id, inbound, report_slot(at),
           count(*)::integer,
           count(*) FILTER (WHERE answered)::integer,
           count(*) FILTER (WHERE failover)::integer,
           count(*) FILTER (WHERE NOT answered AND code IN (486, 600))::integer,
           count(*) FILTER (WHERE NOT answered AND code BETWEEN 400 AND 499 AND code <> 486)::integer,
           count(*) FILTER (WHERE NOT answered AND code BETWEEN 500 AND 599)::integer,
           count(*) FILTER (WHERE NOT answered AND code BETWEEN 601 AND 699)::integer,
           count(ring_delay_ms)::integer,
           coalesce(sum(ring_delay_ms), 0)::bigint, coalesce(max(ring_delay_ms), 0), sum(talk_ms)::bigint, max(talk_ms)
    FROM report_gateway_call
    WHERE tenant_id = p_tenant AND gateway_id = p_gateway AND at >= p_from AND at < p_until
    GROUP BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION report_gateway_numbers(integer, integer, timestamptz, timestamptz) IS 'Sums of the uses of a gateway by quarter of an hour, from the facts.';

-- ------------------------------------------------------------------------------------- queue events

CREATE PROCEDURE report_work_tables() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('client_min_messages', 'warning', true);
    CREATE TEMP TABLE IF NOT EXISTS report_batch (
        seq bigint PRIMARY KEY, at timestamptz, kind text, queue_id integer, entry_id bigint, offer_id bigint, agent_id integer,
        call_id uuid, data jsonb, entry_seq bigint) ON COMMIT DELETE ROWS;
    CREATE INDEX IF NOT EXISTS report_batch_entry ON report_batch (entry_id);
    CREATE INDEX IF NOT EXISTS report_batch_offer ON report_batch (offer_id);
    CREATE TEMP TABLE IF NOT EXISTS report_over (
        agent_id integer, state agent_state, reason text, started_at timestamptz, ended_at timestamptz, offer_id bigint) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS report_taken (LIKE call) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS report_dirty (tenant_id integer, owner integer, slot timestamptz) ON COMMIT DELETE ROWS;
    DELETE FROM report_batch;
    DELETE FROM report_over;
    DELETE FROM report_taken;
    DELETE FROM report_dirty;
END $$;
COMMENT ON PROCEDURE report_work_tables() IS 'Makes what a step needs to think, of this session only, and empties it.';

CREATE FUNCTION report_fold(p_tenant integer, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
-- A replayed event has its old time but a new seq; older than a week it is not looked for, so that old days stay untouched.
DECLARE
    v_after bigint;
    v_at timestamptz;
    v_count integer;
BEGIN
    INSERT INTO report_progress (tenant_id, source) VALUES (p_tenant, 'acd') ON CONFLICT DO NOTHING;
    SELECT seq, at INTO v_after, v_at FROM report_progress WHERE tenant_id = p_tenant AND source = 'acd' FOR UPDATE;
    CALL report_work_tables();
    INSERT INTO report_batch (seq, at, kind, queue_id, entry_id, offer_id, agent_id, call_id, data)
    SELECT seq, at, kind, queue_id, entry_id, offer_id, agent_id, call_id, data
    FROM acd_event
    WHERE tenant_id = p_tenant AND seq > v_after AND at > coalesce(v_at - interval '7 days', '-infinity')
    ORDER BY seq LIMIT p_most;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        PERFORM report_fold_entries(p_tenant, v_count > 1000);
        PERFORM report_fold_attempts(p_tenant, v_count > 1000);
        PERFORM report_fold_states(p_tenant);
        PERFORM report_sum_queues(p_tenant);
        PERFORM report_sum_agents(p_tenant);
    END IF;
    UPDATE report_progress
    SET seq = coalesce((SELECT max(seq) FROM report_batch), seq), at = greatest(at, (SELECT max(b.at) FROM report_batch b)), built_at = clock_timestamp()
    WHERE tenant_id = p_tenant AND source = 'acd';
    RETURN v_count;
END $$;
COMMENT ON FUNCTION report_fold(integer, integer) IS 'Adds the next queue events of a tenant to the facts; returns how many, 0: it is up to date.';

CREATE FUNCTION report_fold_entries(p_tenant integer, p_many boolean) RETURNS void LANGUAGE plpgsql AS $$
-- p_many: the planner must be told how much there is now, or it goes through all of it for each row.
-- A callback that was asked for without a call has entry.enter and then entry.callback without call_id: one stay.
BEGIN
    INSERT INTO report_entry (tenant_id, entry_id, first_seq, last_seq, queue_id, kind, call_id, caller, since, entered_at, level_seconds, short_seconds)
    SELECT p_tenant, entry_id, seq, seq, queue_id, 'call', call_id, coalesce(data ->> 'caller', ''), coalesce((data ->> 'since')::timestamptz, at),
           least(at, (data ->> 'since')::timestamptz), coalesce((data ->> 'service_level_seconds')::integer, 20),
           coalesce((data ->> 'short_abandon_seconds')::integer, 5)
    FROM report_batch WHERE kind = 'entry.enter'
    ON CONFLICT DO NOTHING;

    INSERT INTO report_entry (tenant_id, entry_id, first_seq, last_seq, queue_id, kind, call_id, caller, since, entered_at, level_seconds, short_seconds)
    SELECT p_tenant, b.entry_id, b.seq, b.seq, b.queue_id,
           CASE WHEN b.kind = 'entry.callback' OR first.kind = 'callback'
                     OR EXISTS (SELECT FROM report_batch c WHERE c.entry_id = b.entry_id AND c.kind = 'entry.callback' AND c.seq < b.seq)
                     OR EXISTS (SELECT FROM report_entry r WHERE r.tenant_id = p_tenant AND r.entry_id = b.entry_id AND r.kind = 'callback' AND r.first_seq < b.seq)
                THEN 'callback'::entry_kind ELSE 'call' END,
           b.call_id, first.caller, first.since, b.at, coalesce((b.data ->> 'service_level_seconds')::integer, first.level_seconds),
           coalesce((b.data ->> 'short_abandon_seconds')::integer, first.short_seconds)
    FROM report_batch b
    CROSS JOIN LATERAL (SELECT * FROM report_entry r WHERE r.tenant_id = p_tenant AND r.entry_id = b.entry_id AND r.first_seq < b.seq
                        ORDER BY r.first_seq LIMIT 1) AS first
    WHERE b.kind = 'entry.move' OR b.kind = 'entry.callback' AND b.call_id IS NOT NULL
    ON CONFLICT DO NOTHING;

    IF p_many THEN
        ANALYZE report_batch;
        ANALYZE report_entry;
    END IF;
    UPDATE report_batch b
    SET entry_seq = (SELECT max(r.first_seq) FROM report_entry r WHERE r.tenant_id = p_tenant AND r.entry_id = b.entry_id AND r.first_seq <= b.seq)
    WHERE b.entry_id IS NOT NULL;

    UPDATE report_entry r
    SET left_at = b.at, end_reason = CASE b.kind WHEN 'entry.move' THEN 'moved' ELSE 'callback' END,
        ended_by = coalesce(b.data ->> 'by', 'caller'), moved_to = CASE b.kind WHEN 'entry.move' THEN b.queue_id END
    FROM report_batch b
    WHERE (b.kind = 'entry.move' OR b.kind = 'entry.callback' AND b.call_id IS NOT NULL)
      AND r.tenant_id = p_tenant AND r.entry_id = b.entry_id AND r.left_at IS NULL
      AND r.first_seq = (SELECT max(p.first_seq) FROM report_entry p WHERE p.tenant_id = p_tenant AND p.entry_id = b.entry_id AND p.first_seq < b.seq);

    IF p_many THEN
        ANALYZE report_batch;
    END IF;
    WITH m AS MATERIALIZED (
        SELECT b.entry_id, b.entry_seq, max(b.seq) AS last_seq,
               bool_or(b.kind = 'entry.callback' AND b.call_id IS NULL) AS is_callback,
               count(*) FILTER (WHERE b.kind = 'offer.make') AS offers,
               count(*) FILTER (WHERE b.kind = 'entry.dial') AS dials,
               min(b.at) FILTER (WHERE b.kind = 'offer.join') AS answered_at,
               (array_agg(b.agent_id ORDER BY b.seq) FILTER (WHERE b.kind = 'offer.join'))[1] AS agent_id,
               min(b.at) FILTER (WHERE b.kind = 'entry.dial') AS dialled_at,
               min(b.at) FILTER (WHERE b.kind = 'entry.dial' AND b.data ->> 'result' = 'reached') AS reached_at,
               coalesce(sum(report_talk_ms(b.data)) FILTER (WHERE b.kind = 'offer.end'), 0) AS talk_ms,
               coalesce(sum(report_ms(b.data -> 'hold_seconds')) FILTER (WHERE b.kind = 'offer.end' AND b.data ->> 'talk_seconds' IS NOT NULL), 0) AS hold_ms,
               min(b.at) FILTER (WHERE b.kind = 'entry.end') AS left_at,
               min(b.data ->> 'reason') FILTER (WHERE b.kind = 'entry.end') AS end_reason,
               min(b.data ->> 'by') FILTER (WHERE b.kind = 'entry.end') AS ended_by,
               (array_agg(b.data ->> 'by' ORDER BY b.seq DESC) FILTER (WHERE b.kind = 'offer.end' AND b.data ->> 'talk_seconds' IS NOT NULL))[1] AS hung_up_by,
               (array_agg((b.data ->> 'score')::smallint ORDER BY b.seq DESC) FILTER (WHERE b.kind = 'call.survey'))[1] AS survey
        FROM report_batch b
        JOIN report_entry old ON old.tenant_id = p_tenant AND old.entry_id = b.entry_id AND old.first_seq = b.entry_seq
        WHERE b.seq > old.last_seq
        GROUP BY 1, 2)
    UPDATE report_entry r
    SET last_seq = m.last_seq,
        kind = CASE WHEN m.is_callback THEN 'callback' ELSE r.kind END,
        offers = r.offers + m.offers, dials = r.dials + m.dials,
        answered_at = coalesce(r.answered_at, m.answered_at), agent_id = coalesce(r.agent_id, m.agent_id),
        dialled_at = coalesce(r.dialled_at, m.dialled_at), reached_at = coalesce(r.reached_at, m.reached_at),
        talk_ms = r.talk_ms + m.talk_ms, hold_ms = r.hold_ms + m.hold_ms,
        left_at = coalesce(r.left_at, m.left_at), end_reason = coalesce(r.end_reason, m.end_reason),
        ended_by = coalesce(m.ended_by, r.ended_by), hung_up_by = coalesce(m.hung_up_by, r.hung_up_by), survey = coalesce(m.survey, r.survey)
    FROM m
    WHERE r.tenant_id = p_tenant AND r.entry_id = m.entry_id AND r.first_seq = m.entry_seq;
END $$;
COMMENT ON FUNCTION report_fold_entries(integer, boolean) IS 'Stays in queues: what the batch says of them.';

CREATE FUNCTION report_talk_ms(p_data jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(report_ms(p_data -> 'talk_seconds') - coalesce(report_ms(p_data -> 'hold_seconds'), 0), 0);
$$;
COMMENT ON FUNCTION report_talk_ms(jsonb) IS 'Talk of an offer that ended, without hold; null if there was none.';

CREATE FUNCTION report_fold_attempts(p_tenant integer, p_many boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_attempt (tenant_id, offer_id, last_seq, entry_id, entry_seq, queue_id, agent_id, call_id, caller, made_at, strategy, forced, waited_ms)
    SELECT p_tenant, b.offer_id, b.seq, b.entry_id, b.entry_seq, b.queue_id, b.agent_id, b.call_id, coalesce(e.caller, ''), b.at,
           coalesce(b.data ->> 'strategy', ''), coalesce((b.data ->> 'forced')::boolean, false),
           coalesce(report_between(e.entered_at, b.at), report_ms(b.data -> 'waited_seconds'), 0)
    FROM report_batch b
    LEFT JOIN report_entry e ON e.tenant_id = p_tenant AND e.entry_id = b.entry_id AND e.first_seq = b.entry_seq
    WHERE b.kind = 'offer.make'
    ON CONFLICT DO NOTHING;

    IF p_many THEN
        ANALYZE report_attempt;
    END IF;
    WITH m AS MATERIALIZED (
        SELECT b.offer_id, max(b.seq) AS last_seq,
               min(b.at) FILTER (WHERE b.kind = 'offer.answer') AS answered_at,
               min(b.at) FILTER (WHERE b.kind = 'offer.join') AS joined_at,
               min(b.at) FILTER (WHERE b.kind = 'offer.end') AS ended_at,
               min((b.data ->> 'outcome')::offer_outcome) FILTER (WHERE b.kind = 'offer.end') AS outcome,
               min((b.data ->> 'code')::integer) FILTER (WHERE b.kind = 'offer.end') AS code,
               min(b.data ->> 'cause') FILTER (WHERE b.kind = 'offer.end') AS cause,
               min(b.data ->> 'by') FILTER (WHERE b.kind = 'offer.end') AS hung_up_by,
               -- The end repeats what the answer said.
               max(report_ms(b.data -> 'ring_seconds')) FILTER (WHERE b.kind IN ('offer.answer', 'offer.end')) AS ring_ms,
               max(report_talk_ms(b.data)) FILTER (WHERE b.kind = 'offer.end') AS talk_ms,
               max(report_ms(b.data -> 'hold_seconds')) FILTER (WHERE b.kind = 'offer.end') AS hold_ms
        FROM report_batch b
        JOIN report_attempt old ON old.tenant_id = p_tenant AND old.offer_id = b.offer_id
        WHERE b.kind IN ('offer.answer', 'offer.join', 'offer.end') AND b.seq > old.last_seq
        GROUP BY 1)
    UPDATE report_attempt r
    SET last_seq = m.last_seq,
        answered_at = coalesce(r.answered_at, m.answered_at), joined_at = coalesce(r.joined_at, m.joined_at), ended_at = coalesce(r.ended_at, m.ended_at),
        outcome = coalesce(r.outcome, m.outcome), code = coalesce(r.code, m.code), cause = coalesce(m.cause, r.cause),
        hung_up_by = coalesce(m.hung_up_by, r.hung_up_by), ring_ms = coalesce(m.ring_ms, r.ring_ms),
        talk_ms = coalesce(m.talk_ms, r.talk_ms), hold_ms = coalesce(m.hold_ms, r.hold_ms)
    FROM m
    WHERE r.tenant_id = p_tenant AND r.offer_id = m.offer_id;
END $$;
COMMENT ON FUNCTION report_fold_attempts(integer, boolean) IS 'Offers to agents: what the batch says of them.';

CREATE FUNCTION report_fold_states(p_tenant integer) RETURNS void LANGUAGE plpgsql AS $$
-- Each event ends one state and begins the next one. After-call work knows its offer by the event that began it.
BEGIN
    INSERT INTO report_agent_state (tenant_id, agent_id, seq, state, reason, started_at)
    SELECT DISTINCT ON (b.agent_id) p_tenant, b.agent_id, 0, (b.data ->> 'from')::agent_state, coalesce(b.data ->> 'was', ''),
           b.at - make_interval(secs => coalesce((b.data ->> 'seconds')::double precision, 0))
    FROM report_batch b
    WHERE b.kind = 'agent.state'
      AND NOT EXISTS (SELECT FROM report_agent_state r WHERE r.tenant_id = p_tenant AND r.agent_id = b.agent_id)
    ORDER BY b.agent_id, b.seq;

    WITH first AS (
        SELECT DISTINCT ON (agent_id) agent_id, at FROM report_batch WHERE kind = 'agent.state' ORDER BY agent_id, seq
    ), closed AS (
        UPDATE report_agent_state r SET ended_at = greatest(f.at, r.started_at)
        FROM first f WHERE r.tenant_id = p_tenant AND r.agent_id = f.agent_id AND r.ended_at IS NULL
        RETURNING r.agent_id, r.state, r.reason, r.started_at, r.ended_at, r.offer_id)
    INSERT INTO report_over SELECT * FROM closed;

    WITH added AS (
        INSERT INTO report_agent_state (tenant_id, agent_id, seq, state, reason, started_at, ended_at, offer_id, by)
        SELECT p_tenant, agent_id, seq, (data ->> 'to')::agent_state, coalesce(data ->> 'reason', ''), at, lead(at) OVER (PARTITION BY agent_id ORDER BY seq),
               CASE WHEN data ->> 'to' IN ('reserved', 'ringing', 'wrapup') OR data ->> 'to' = 'busy' AND data ->> 'reason' = 'queue' THEN offer_id END,
               coalesce(data ->> 'by', '')
        FROM report_batch WHERE kind = 'agent.state'
        ON CONFLICT DO NOTHING
        RETURNING agent_id, state, reason, started_at, ended_at, offer_id)
    INSERT INTO report_over SELECT * FROM added WHERE ended_at IS NOT NULL;

    PERFORM report_add_states(p_tenant, '-infinity');

    UPDATE report_attempt r SET wrapup_ms = report_between(o.started_at, o.ended_at)
    FROM report_over o
    WHERE o.state = 'wrapup' AND r.tenant_id = p_tenant AND r.offer_id = o.offer_id;

    UPDATE report_entry e
    SET wrapup_ms = (SELECT sum(a.wrapup_ms) FROM report_attempt a
                     WHERE a.tenant_id = p_tenant AND a.entry_id = e.entry_id AND a.entry_seq = e.first_seq)
    FROM report_over o
    JOIN report_attempt a ON a.tenant_id = p_tenant AND a.offer_id = o.offer_id
    WHERE o.state = 'wrapup' AND e.tenant_id = p_tenant AND e.entry_id = a.entry_id AND e.first_seq = a.entry_seq;
END $$;
COMMENT ON FUNCTION report_fold_states(integer) IS 'Times of agents in their states, and the after-call work of their offers.';

CREATE FUNCTION report_add_states(p_tenant integer, p_from timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_state_slot AS s (tenant_id, agent_id, slot, state, reason, times, ms)
    SELECT p_tenant, o.agent_id, part.slot, o.state, o.reason,
           count(*) FILTER (WHERE o.started_at >= part.slot),
           sum(report_between(greatest(o.started_at, part.slot), least(o.ended_at, part.slot + interval '15 minutes')))
    FROM report_over o
    CROSS JOIN LATERAL generate_series(greatest(report_slot(o.started_at), report_slot(p_from)), o.ended_at, interval '15 minutes') AS part (slot)
    WHERE o.state <> 'offline' AND (part.slot < o.ended_at OR part.slot = o.started_at)
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, agent_id, slot, state, reason) DO UPDATE SET times = s.times + excluded.times, ms = s.ms + excluded.ms;
END $$;
COMMENT ON FUNCTION report_add_states(integer, timestamptz) IS 'Adds times that are over (report_over) to the quarters of an hour that they lie in, from one on.';

CREATE FUNCTION report_sum_queues(p_tenant integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_dirty;
    INSERT INTO report_dirty (owner, slot)
    SELECT DISTINCT e.queue_id, report_slot(e.entered_at)
    FROM report_entry e
    WHERE e.tenant_id = p_tenant AND e.entry_id IN (
        SELECT entry_id FROM report_batch WHERE entry_id IS NOT NULL
        UNION SELECT a.entry_id FROM report_over o JOIN report_attempt a ON a.tenant_id = p_tenant AND a.offer_id = o.offer_id);
    DELETE FROM report_queue_slot s USING report_dirty d WHERE s.tenant_id = p_tenant AND s.queue_id = d.owner AND s.slot = d.slot;
    INSERT INTO report_queue_slot
    SELECT n.* FROM report_dirty d
    CROSS JOIN LATERAL report_queue_numbers(p_tenant, ARRAY[d.owner], d.slot, d.slot + interval '15 minutes') AS n;
END $$;
COMMENT ON FUNCTION report_sum_queues(integer) IS 'Computes the quarters anew in which the batch changed something of a queue.';

CREATE FUNCTION report_sum_agents(p_tenant integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_dirty;
    INSERT INTO report_dirty (owner, slot)
    SELECT DISTINCT a.agent_id, report_slot(a.made_at)
    FROM report_attempt a
    WHERE a.tenant_id = p_tenant AND a.offer_id IN (
        SELECT offer_id FROM report_batch WHERE offer_id IS NOT NULL UNION SELECT offer_id FROM report_over);
    DELETE FROM report_agent_slot s USING report_dirty d WHERE s.tenant_id = p_tenant AND s.agent_id = d.owner AND s.slot = d.slot;
    INSERT INTO report_agent_slot
    SELECT n.* FROM report_dirty d
    CROSS JOIN LATERAL report_agent_numbers(p_tenant, d.owner, d.slot, d.slot + interval '15 minutes') AS n;
END $$;
COMMENT ON FUNCTION report_sum_agents(integer) IS 'Computes the quarters anew in which the batch changed an offer to an agent.';

-- ---------------------------------------------------------------------------------------------- calls

CREATE FUNCTION report_fold_calls(p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
-- call.updated_at is when the writing transaction began: nothing newer than the oldest one that still runs is taken.
DECLARE
    v_after timestamptz;
    v_until timestamptz;
BEGIN
    INSERT INTO report_progress (tenant_id, source, at) VALUES (0, 'call', '-infinity') ON CONFLICT DO NOTHING;
    SELECT at INTO v_after FROM report_progress WHERE tenant_id = 0 AND source = 'call' FOR UPDATE;
    CALL report_work_tables();
    SELECT least(clock_timestamp() - interval '1 second', min(xact_start) - interval '1 microsecond') INTO v_until
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (backend_xid IS NOT NULL OR application_name LIKE 'ks-cdr%');
    IF v_until > v_after THEN
        SELECT coalesce((SELECT updated_at FROM call WHERE updated_at > v_after AND updated_at <= v_until
                         ORDER BY updated_at OFFSET p_most - 1 LIMIT 1), v_until) INTO v_until;
        INSERT INTO report_taken SELECT * FROM call WHERE updated_at > v_after AND updated_at <= v_until;
    END IF;
    UPDATE report_progress SET at = greatest(at, v_until), built_at = clock_timestamp() WHERE tenant_id = 0 AND source = 'call';
    RETURN report_put_calls();
END $$;
COMMENT ON FUNCTION report_fold_calls(integer) IS 'Adds calls that changed to the facts, about so many; returns how many, 0: it is up to date.';

CREATE FUNCTION report_put_calls() RETURNS integer LANGUAGE plpgsql AS $$
-- A call whose tenant was not known at first stood under tenant 0.
DECLARE
    v_count integer;
BEGIN
    SELECT count(*) INTO v_count FROM report_taken;
    IF v_count = 0 THEN
        RETURN 0;
    END IF;
    ANALYZE report_taken;
    WITH gone AS (
        DELETE FROM report_gateway_call g USING report_taken t
        WHERE g.tenant_id IN (0, coalesce(t.tenant_id, 0)) AND g.call_id = t.call_id RETURNING g.tenant_id, g.gateway_id, g.at)
    INSERT INTO report_dirty SELECT DISTINCT tenant_id, gateway_id, report_slot(at) FROM gone;
    WITH gone AS (
        DELETE FROM report_call c USING report_taken t
        WHERE c.tenant_id IN (0, coalesce(t.tenant_id, 0)) AND c.call_id = t.call_id RETURNING c.tenant_id, c.started_at)
    INSERT INTO report_dirty SELECT DISTINCT tenant_id, NULL::integer, report_slot(started_at) FROM gone;

    INSERT INTO report_call (tenant_id, call_id, started_at, direction, account, gateway_in_id, gateway_out_id, region, emergency, attempts, answered,
                             ended, setup_ms, ring_ms, talk_ms, final_code, cause, hung_up_by)
    SELECT coalesce(tenant_id, 0), call_id, started_at, coalesce(direction::text, ''), coalesce(account, ''), gateway_in_id, gateway_out_id,
           coalesce(b_region, ''), emergency, jsonb_array_length(attempts), answered_at IS NOT NULL, ended_at IS NOT NULL,
           coalesce(report_between(started_at, answered_at), 0), coalesce(ring_ms, 0), coalesce(talk_ms, 0), final_code, cause, coalesce(hung_up_by, '')
    FROM report_taken;
    INSERT INTO report_gateway_call (tenant_id, call_id, n, gateway_id, at, inbound, answered, failover, code, ring_delay_ms, talk_ms)
    SELECT coalesce(tenant_id, 0), call_id, 0, gateway_in_id, started_at, true, answered_at IS NOT NULL, false, final_code,
           report_between(started_at, ringing_at), coalesce(talk_ms, 0)
    FROM report_taken WHERE gateway_in_id IS NOT NULL
    UNION ALL
    SELECT coalesce(t.tenant_id, 0), t.call_id, a.n, a.gateway_id, coalesce(a.at, t.started_at), false, coalesce(a.code BETWEEN 200 AND 299, false),
           coalesce(a.failover, false), a.code, report_between(a.at, a.ringing_at), CASE WHEN a.code BETWEEN 200 AND 299 THEN coalesce(t.talk_ms, 0) ELSE 0 END
    FROM report_taken t
    CROSS JOIN LATERAL jsonb_to_recordset(t.attempts) AS a (n integer, gateway_id integer, at timestamptz, ringing_at timestamptz, code integer, failover boolean)
    WHERE a.gateway_id IS NOT NULL AND a.n > 0
    ON CONFLICT DO NOTHING;
    PERFORM report_sum_calls();
    RETURN v_count;
END $$;
COMMENT ON FUNCTION report_put_calls() IS 'Writes the facts of the calls in report_taken and the sums that they change; returns how many there are.';

CREATE FUNCTION report_sum_calls() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_dirty SELECT DISTINCT coalesce(tenant_id, 0), NULL::integer, report_slot(started_at) FROM report_taken;
    INSERT INTO report_dirty
    SELECT DISTINCT g.tenant_id, g.gateway_id, report_slot(g.at)
    FROM report_taken t JOIN report_gateway_call g ON g.tenant_id = coalesce(t.tenant_id, 0) AND g.call_id = t.call_id;
    ANALYZE report_dirty;
    DELETE FROM report_call_slot s USING report_dirty d WHERE d.owner IS NULL AND s.tenant_id = d.tenant_id AND s.slot = d.slot;
    INSERT INTO report_call_slot
    SELECT n.* FROM (SELECT DISTINCT tenant_id, slot FROM report_dirty WHERE owner IS NULL) AS d
    CROSS JOIN LATERAL report_call_numbers(d.tenant_id, d.slot, d.slot + interval '15 minutes') AS n;
    DELETE FROM report_gateway_slot s USING report_dirty d WHERE s.tenant_id = d.tenant_id AND s.gateway_id = d.owner AND s.slot = d.slot;
    INSERT INTO report_gateway_slot
    SELECT n.* FROM (SELECT DISTINCT tenant_id, owner, slot FROM report_dirty WHERE owner IS NOT NULL) AS d
    CROSS JOIN LATERAL report_gateway_numbers(d.tenant_id, d.owner, d.slot, d.slot + interval '15 minutes') AS n;
END $$;
COMMENT ON FUNCTION report_sum_calls() IS 'Computes the quarters anew in which a call of report_taken, or one in report_dirty, changed something.';

-- -------------------------------------------------------------------------------------------- rebuild

CREATE FUNCTION report_rebuild(p_tenant integer, p_most integer DEFAULT 50000) RETURNS bigint LANGUAGE plpgsql AS $$
-- In one transaction: readers see the old facts until the new ones are there. Days whose events are gone stay as they are.
DECLARE
    v_from timestamptz := (SELECT date_trunc('day', min(at), 'UTC') FROM acd_event WHERE tenant_id = p_tenant);
    v_count bigint := 0;
    v_step integer;
BEGIN
    IF v_from IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO report_progress (tenant_id, source) VALUES (p_tenant, 'acd') ON CONFLICT DO NOTHING;
    UPDATE report_progress
    SET seq = (SELECT min(seq) - 1 FROM acd_event WHERE tenant_id = p_tenant), at = NULL
    WHERE tenant_id = p_tenant AND source = 'acd';
    DELETE FROM report_entry WHERE tenant_id = p_tenant AND entered_at >= v_from;
    DELETE FROM report_attempt WHERE tenant_id = p_tenant AND made_at >= v_from;
    -- What was there before the first event began before that event, and is told by it.
    DELETE FROM report_agent_state WHERE tenant_id = p_tenant AND (started_at >= v_from OR seq = 0 AND ended_at >= v_from);
    DELETE FROM report_queue_slot WHERE tenant_id = p_tenant AND slot >= v_from;
    DELETE FROM report_agent_slot WHERE tenant_id = p_tenant AND slot >= v_from;
    DELETE FROM report_state_slot WHERE tenant_id = p_tenant AND slot >= v_from;
    CALL report_work_tables();
    INSERT INTO report_over
    SELECT agent_id, state, reason, started_at, ended_at, offer_id FROM report_agent_state WHERE tenant_id = p_tenant AND ended_at > v_from;
    PERFORM report_add_states(p_tenant, v_from);
    LOOP
        v_step := report_fold(p_tenant, p_most);
        EXIT WHEN v_step = 0;
        v_count := v_count + v_step;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION report_rebuild(integer, integer) IS 'Builds the queue facts of a tenant again from all events that are kept; returns how many those are.';

CREATE FUNCTION report_rebuild_calls() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_day timestamptz := (SELECT date_trunc('day', min(started_at), 'UTC') FROM call);
    v_count bigint := 0;
BEGIN
    IF v_day IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO report_progress (tenant_id, source, at) VALUES (0, 'call', '-infinity') ON CONFLICT DO NOTHING;
    PERFORM FROM report_progress WHERE tenant_id = 0 AND source = 'call' FOR UPDATE;
    DELETE FROM report_call WHERE started_at >= v_day;
    DELETE FROM report_gateway_call WHERE at >= v_day;
    DELETE FROM report_call_slot WHERE slot >= v_day;
    DELETE FROM report_gateway_slot WHERE slot >= v_day;
    WHILE v_day <= clock_timestamp() + interval '1 day' LOOP
        CALL report_work_tables();
        INSERT INTO report_taken SELECT * FROM call WHERE started_at >= v_day AND started_at < v_day + interval '1 day';
        v_count := v_count + report_put_calls();
        v_day := v_day + interval '1 day';
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION report_rebuild_calls() IS 'Builds the facts of all calls again from the CDRs that are kept; returns how many those are.';
