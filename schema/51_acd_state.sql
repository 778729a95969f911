-- Call distribution: events, the tables of the state machines, and what every transition does.

-- --------------------------------------------------------------------------------------------- tables

CREATE SEQUENCE acd_event_seq;

CREATE TABLE acd_event (
    at         timestamptz NOT NULL,
    seq        bigint NOT NULL DEFAULT nextval('acd_event_seq'),
    tenant_id  integer NOT NULL,
    kind       text NOT NULL,
    queue_id   integer,
    entry_id   bigint,
    offer_id   bigint,
    agent_id   integer,
    call_id    uuid,
    node       text NOT NULL DEFAULT '',
    data       jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT acd_event_pkey PRIMARY KEY (at, seq)
) PARTITION BY RANGE (at);
COMMENT ON TABLE acd_event IS 'The authority for the history of call distribution: each transition is one row, written in its transaction. seq is in commit order within a tenant.';
CREATE INDEX acd_event_tenant_idx ON acd_event (tenant_id, seq);
COMMENT ON INDEX acd_event_tenant_idx IS 'A listener reads on from the last seq that it has seen.';
CREATE INDEX acd_event_call_idx ON acd_event (call_id) WHERE call_id IS NOT NULL;
COMMENT ON INDEX acd_event_call_idx IS 'The story of a call.';
CREATE INDEX acd_event_agent_idx ON acd_event (agent_id, at) WHERE agent_id IS NOT NULL;
COMMENT ON INDEX acd_event_agent_idx IS 'The day of an agent.';
CREATE TABLE acd_event_default PARTITION OF acd_event DEFAULT;
COMMENT ON TABLE acd_event_default IS 'Events of days that have no partition yet: a transition never fails for want of one.';
COMMENT ON INDEX acd_event_default_tenant_id_seq_idx IS 'As acd_event_tenant_idx.';
COMMENT ON INDEX acd_event_default_call_id_idx IS 'As acd_event_call_idx.';
COMMENT ON INDEX acd_event_default_agent_id_at_idx IS 'As acd_event_agent_idx.';

CREATE TABLE acd_replayed (
    event_id  uuid CONSTRAINT acd_replayed_pkey PRIMARY KEY,
    at        timestamptz NOT NULL
);
COMMENT ON TABLE acd_replayed IS 'Journal lines of an outage that acd_replay has seen; each counts once.';

CREATE TABLE acd_transition (
    machine     text NOT NULL,
    state       text NOT NULL,
    event       text NOT NULL,
    next_state  text NOT NULL,
    CONSTRAINT acd_transition_pkey PRIMARY KEY (machine, state, event, next_state)
);
COMMENT ON TABLE acd_transition IS 'Which state may follow which; the same tables stand in callcore/agent.py and callcore/call_queue.py.';

CREATE TYPE acd_action AS (
    id         bigint,
    tenant_id  integer,
    kind       text,
    entry_id   bigint,
    offer_id   bigint,
    data       jsonb
);
COMMENT ON TYPE acd_action IS 'What a proxy or a media host must do now (docs/acd.md, section 2).';

-- ------------------------------------------------------------------------------- begin and end of a transition

CREATE FUNCTION acd_begin(p_tenant integer, p_caller text DEFAULT '') RETURNS timestamptz LANGUAGE plpgsql AS $$
-- One transition a tenant at a time: without this lock a caller and an agent who come together can both be left
-- waiting. The clock is read after the lock, so times follow the order of transitions.
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('acd'), p_tenant),
            set_config('acd.caller', coalesce(p_caller, ''), true),
            set_config('acd.reply', '', true),
            set_config('acd.notified', '', true),
            -- Every statement here reads few rows by an index, whatever the parameters: planning it again each time
            -- costs more than running it, and a plan made while a table was small must not scan it when it has grown.
            set_config('plan_cache_mode', 'force_generic_plan', true),
            set_config('enable_seqscan', 'off', true),
            -- Where an index gives the order, it must be read in it: the number of rows wanted is a parameter, and the
            -- planner would rather sort five thousand agents than guess that one is wanted.
            set_config('enable_bitmapscan', 'off', true),
            set_config('enable_sort', 'off', true),
            set_config('jit', 'off', true);
    RETURN clock_timestamp();
END $$;
COMMENT ON FUNCTION acd_begin(integer, text) IS 'Locks the match domain, remembers which node asks, returns the time of the transition.';

CREATE FUNCTION acd_finish_transition(p_tenant integer, p_durable boolean) RETURNS void LANGUAGE plpgsql AS $$
-- Durable transitions commit as the session is set (synchronously). A transaction that notifies must not: NOTIFY
-- holds a lock over the commit, and with synchronous commits all writers of the cluster would queue behind it.
BEGIN
    IF NOT p_durable OR current_setting('acd.notified') <> '' THEN
        PERFORM set_config('synchronous_commit', 'off', true),
                pg_notify('acd_event', p_tenant::text);
    END IF;
END $$;
COMMENT ON FUNCTION acd_finish_transition(integer, boolean) IS 'Chooses the kind of commit; last statement of every transition.';

CREATE FUNCTION acd_send(
    p_host text, p_tenant integer, p_kind text, p_entry bigint, p_offer bigint, p_data jsonb DEFAULT '{}', p_by text DEFAULT ''
) RETURNS bigint LANGUAGE plpgsql AS $$
-- To the node that asks: in the reply, never stored. To another one: as a command.
DECLARE
    v_id bigint;
BEGIN
    IF p_host = current_setting('acd.caller') THEN
        PERFORM set_config('acd.reply', concat_ws(',', nullif(current_setting('acd.reply'), ''), jsonb_build_object(
            'tenant_id', p_tenant, 'kind', p_kind, 'entry_id', p_entry, 'offer_id', p_offer, 'data', p_data)), true);
    ELSIF p_host IS NOT NULL THEN
        INSERT INTO host_command (host, tenant_id, kind, entry_id, offer_id, data, by)
        VALUES (p_host, p_tenant, p_kind, p_entry, p_offer, p_data, p_by)
        RETURNING command_id INTO v_id;
        -- A channel has at most 63 bytes.
        PERFORM pg_notify(left('host_' || p_host, 63), v_id::text), set_config('acd.notified', '1', true);
    END IF;
    RETURN v_id;
END $$;
COMMENT ON FUNCTION acd_send(text, integer, text, bigint, bigint, jsonb, text) IS 'Tells a node what to do; returns the id of the command, null when it went into the reply.';

CREATE FUNCTION acd_replies(p_tenant integer, p_entry bigint DEFAULT NULL) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_reply text := current_setting('acd.reply');
BEGIN
    IF v_reply = '' THEN
        RETURN NEXT ROW(NULL, p_tenant, 'none', p_entry, NULL, '{}'::jsonb)::acd_action;
    ELSE
        RETURN QUERY SELECT * FROM jsonb_populate_recordset(NULL::acd_action, ('[' || v_reply || ']')::jsonb);
    END IF;
END $$;
COMMENT ON FUNCTION acd_replies(integer, bigint) IS 'What acd_send kept for the node that asks, in order; one row of kind none when there is nothing.';

CREATE FUNCTION acd_note(
    p_at timestamptz, p_tenant integer, p_kind text, p_queue integer, p_entry bigint, p_offer bigint, p_agent integer,
    p_call uuid, p_data jsonb DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO acd_event (at, tenant_id, kind, queue_id, entry_id, offer_id, agent_id, call_id, node, data)
    VALUES (p_at, p_tenant, p_kind, p_queue, p_entry, p_offer, p_agent, p_call,
            coalesce(current_setting('acd.caller', true), ''), p_data);
END $$;
COMMENT ON FUNCTION acd_note(timestamptz, integer, text, integer, bigint, bigint, integer, uuid, jsonb) IS 'Writes one event.';

CREATE FUNCTION acd_ms(p_from timestamptz, p_to timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (extract(epoch FROM p_to - p_from) * 1000)::bigint;
$$;
COMMENT ON FUNCTION acd_ms(timestamptz, timestamptz) IS 'Milliseconds between two times.';

CREATE FUNCTION acd_seconds(p_seconds double precision) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT make_interval(secs => p_seconds);
$$;
COMMENT ON FUNCTION acd_seconds(double precision) IS 'An interval.';

-- --------------------------------------------------------------------------------------------- agents

CREATE FUNCTION agent_live_follow() RETURNS trigger LANGUAGE plpgsql AS $$
-- The state follows from the facts; callcore/agent.py state_of decides the same. No clock: wrap-up and penalty
-- are over when somebody has taken their times away (acd_tick), so a state never depends on when it is looked at.
BEGIN
    NEW.state := CASE
        WHEN NEW.offer_state = 'reserved' THEN 'reserved'
        WHEN NEW.offer_state = 'ringing' THEN 'ringing'
        WHEN NEW.offer_state = 'answered' THEN 'busy'
        WHEN NOT (NEW.logged_in AND NEW.enabled) THEN 'offline'
        WHEN NEW.legs > 0 THEN 'busy'
        WHEN NOT NEW.registered THEN 'offline'
        WHEN NEW.wrapup_until IS NOT NULL THEN 'wrapup'
        WHEN NEW.pause_reason IS NOT NULL THEN 'paused'
        ELSE 'free' END;
    NEW.state_reason := CASE NEW.state
        WHEN 'paused' THEN NEW.pause_reason
        WHEN 'offline' THEN CASE WHEN NEW.logged_in AND NEW.enabled THEN 'unregistered' ELSE '' END
        WHEN 'busy' THEN CASE WHEN NEW.offer_state IS NULL THEN 'call' ELSE 'queue' END
        ELSE '' END;
    IF (NEW.state, NEW.state_reason) IS DISTINCT FROM (OLD.state, OLD.state_reason) THEN
        NEW.state_at := NEW.event_at;
        -- An offer that came to nothing does not end his idle time.
        IF NEW.state = 'free' AND OLD.state NOT IN ('reserved', 'ringing') THEN
            NEW.idle_since := NEW.event_at;
        END IF;
    END IF;
    NEW.ready := NEW.state = 'free' AND NEW.not_before IS NULL;
    NEW.due_at := least(NEW.wrapup_until, NEW.not_before);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION agent_live_follow() IS 'Trigger: computes the state of an agent from the facts.';

CREATE FUNCTION agent_live_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM acd_transition
        WHERE machine = 'agent' AND (state, event, next_state) = (OLD.state::text, NEW.event, NEW.state::text))
    THEN
        RAISE EXCEPTION 'agent %: % cannot become % by %', NEW.agent_id, OLD.state, NEW.state, NEW.event;
    END IF;
    IF (NEW.state, NEW.state_reason) IS DISTINCT FROM (OLD.state, OLD.state_reason) THEN
        PERFORM acd_note(NEW.event_at, NEW.tenant_id, 'agent.state', NULL, NULL, coalesce(NEW.offer_id, OLD.offer_id), NEW.agent_id, NULL,
            jsonb_build_object('from', OLD.state, 'to', NEW.state, 'was', OLD.state_reason, 'reason', NEW.state_reason, 'event', NEW.event,
                               'by', NEW.event_by, 'seconds', acd_ms(OLD.state_at, NEW.event_at) / 1000.0));
    END IF;
    IF OLD.ready AND NOT NEW.ready THEN
        DELETE FROM ready_agent WHERE tenant_id = NEW.tenant_id AND agent_id = NEW.agent_id;
    ELSIF NEW.ready AND NOT OLD.ready THEN
        PERFORM acd_make_ready(NEW.tenant_id, NEW.agent_id);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION agent_live_tell() IS 'Trigger: refuses an impossible change of state, writes the event, keeps ready_agent.';

CREATE FUNCTION acd_make_ready(p_tenant integer, p_agent integer) RETURNS void LANGUAGE plpgsql AS $$
-- The rank is fixed while he is ready: whatever it depends on changes only by calls of his own, or by
-- configuration, after which this runs again. Ties of calls and talk time: the longest idle first. Random: a place
-- in the row from which acd_draw takes a window.
BEGIN
    DELETE FROM ready_agent WHERE tenant_id = p_tenant AND agent_id = p_agent;
    INSERT INTO ready_agent (tenant_id, agent_id, queue_id, tier, penalty, rank, min_wait)
    SELECT p_tenant, p_agent, q.queue_id, m.tier, m.penalty,
           CASE q.strategy
               WHEN 'longest_idle' THEN extract(epoch FROM a.idle_since)
               WHEN 'fewest_calls' THEN a.calls * 1e10 + extract(epoch FROM a.idle_since)
               WHEN 'least_talk' THEN a.talk_seconds * 1e10 + extract(epoch FROM a.idle_since)
               WHEN 'round_robin' THEN coalesce((
                   SELECT extract(epoch FROM b.last_offer_at) FROM round_robin b
                   WHERE b.tenant_id = p_tenant AND b.queue_id = q.queue_id AND b.agent_id = p_agent), m.position - 1e6)
               WHEN 'skill' THEN extract(epoch FROM a.idle_since) - 1e10 * (
                   SELECT coalesce(sum(s.level), 0) FROM agent_skill s
                   WHERE s.tenant_id = p_tenant AND s.agent_id = p_agent
                     AND s.skill_id IN (SELECT skill_id FROM queue_skill k WHERE k.tenant_id = p_tenant AND k.queue_id = q.queue_id))
               WHEN 'random' THEN random()
               ELSE m.position END,
           greatest(q.tier_waits[least(m.tier, cardinality(q.tier_waits))], gap.min_wait)
    FROM queue_member m
    JOIN agent_live a USING (tenant_id, agent_id)
    JOIN queue q ON q.tenant_id = m.tenant_id AND q.queue_id = m.queue_id
    JOIN queue_live l ON l.tenant_id = m.tenant_id AND l.queue_id = m.queue_id
    CROSS JOIN LATERAL (SELECT CASE WHEN l.skilled THEN acd_skill_wait(p_tenant, q.queue_id, p_agent) ELSE 0 END AS min_wait) gap
    WHERE m.tenant_id = p_tenant AND m.agent_id = p_agent AND a.ready AND gap.min_wait IS NOT NULL;
END $$;

CREATE FUNCTION acd_skill_wait(p_tenant integer, p_queue integer, p_agent integer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
-- The latest, over the skills, of the first step that asks no more than he has; null if a skill has no such step.
BEGIN
    RETURN (
        SELECT CASE WHEN count(*) FILTER (WHERE first IS NULL) > 0 THEN NULL ELSE coalesce(max(first), 0) END
        FROM (SELECT k.skill_id, min(k.after_seconds) FILTER (WHERE k.level <= coalesce(s.level, 0)) AS first
              FROM queue_skill k
              LEFT JOIN agent_skill s ON s.tenant_id = k.tenant_id AND s.agent_id = p_agent AND s.skill_id = k.skill_id
              WHERE k.tenant_id = p_tenant AND k.queue_id = p_queue
              GROUP BY k.skill_id) steps);
END $$;

CREATE FUNCTION agent_create_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agent_live (tenant_id, agent_id, enabled, external, registered)
    VALUES (NEW.tenant_id, NEW.agent_id, NEW.enabled, NEW.number IS NOT NULL, NEW.number IS NOT NULL);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION agent_create_live() IS 'Trigger: a new agent is offline; an external number counts as registered.';

CREATE FUNCTION queue_create_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO queue_live (tenant_id, queue_id) VALUES (NEW.tenant_id, NEW.queue_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue_create_live() IS 'Trigger: live state of a new queue.';

CREATE FUNCTION queue_member_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_live l SET members = (SELECT count(*) FROM queue_member m WHERE m.tenant_id = l.tenant_id AND m.queue_id = l.queue_id)
    WHERE (l.tenant_id, l.queue_id) IN (SELECT tenant_id, queue_id FROM changed_rows);
    IF TG_OP = 'DELETE' THEN
        DELETE FROM ready_agent WHERE (tenant_id, agent_id, queue_id) IN (SELECT tenant_id, agent_id, queue_id FROM changed_rows);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue_member_count() IS 'Trigger: keeps queue_live.members; who leaves a queue is not ready for it.';

-- ----------------------------------------------------------------------------------- entries and offers

CREATE FUNCTION acd_check_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM acd_transition
                   WHERE machine = TG_ARGV[0] AND state = OLD.state::text AND next_state = NEW.state::text) THEN
        RAISE EXCEPTION '%: % cannot become %', TG_ARGV[0], OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION acd_check_step() IS 'Trigger: refuses a change of state that the table does not have.';

COMMENT ON FUNCTION acd_make_ready(integer, integer) IS 'Computes the rows of ready_agent of one agent anew.';
COMMENT ON FUNCTION acd_skill_wait(integer, integer, integer) IS 'How long a caller of the queue must have waited before this agent''s skills are enough; null: never.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER agent_live_follow BEFORE UPDATE ON agent_live FOR EACH ROW EXECUTE FUNCTION agent_live_follow();
CREATE TRIGGER agent_live_tell AFTER UPDATE ON agent_live FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.state_reason IS DISTINCT FROM NEW.state_reason OR OLD.ready IS DISTINCT FROM NEW.ready)
    EXECUTE FUNCTION agent_live_tell();
CREATE TRIGGER queue_entry_step BEFORE UPDATE ON queue_entry FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION acd_check_step('entry');
CREATE TRIGGER offer_step BEFORE UPDATE ON offer FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION acd_check_step('offer');
CREATE TRIGGER agent_create_live AFTER INSERT ON agent FOR EACH ROW EXECUTE FUNCTION agent_create_live();
CREATE TRIGGER queue_create_live AFTER INSERT ON queue FOR EACH ROW EXECUTE FUNCTION queue_create_live();
CREATE TRIGGER queue_member_count_insert AFTER INSERT ON queue_member REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_member_count();
CREATE TRIGGER queue_member_count_delete AFTER DELETE ON queue_member REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_member_count();

CALL log_changes_of('agent', 'agent_id', '{display_name}');
CALL log_changes_of('queue', 'queue_id', '{}');

-- ------------------------------------------------------------------------------------------ first rows

INSERT INTO acd_transition (machine, state, event, next_state) VALUES
    ('agent', 'offline', 'login', 'busy'), ('agent', 'offline', 'login', 'free'),
    ('agent', 'offline', 'login', 'paused'), ('agent', 'offline', 'login', 'wrapup'),
    ('agent', 'offline', 'register', 'free'), ('agent', 'offline', 'register', 'paused'),
    ('agent', 'offline', 'register', 'wrapup'), ('agent', 'offline', 'leg_start', 'busy'),
    ('agent', 'offline', 'reserve', 'reserved'), ('agent', 'offline', 'ring', 'ringing'),
    ('agent', 'offline', 'change', 'busy'), ('agent', 'offline', 'change', 'free'),
    ('agent', 'offline', 'change', 'paused'), ('agent', 'offline', 'change', 'wrapup'),
    ('agent', 'free', 'logout', 'offline'), ('agent', 'free', 'unregister', 'offline'),
    ('agent', 'free', 'pause', 'paused'), ('agent', 'free', 'reserve', 'reserved'),
    ('agent', 'free', 'ring', 'ringing'), ('agent', 'free', 'leg_start', 'busy'),
    ('agent', 'free', 'wrapup', 'wrapup'), ('agent', 'free', 'change', 'offline'),
    ('agent', 'reserved', 'ring', 'ringing'), ('agent', 'reserved', 'answer', 'busy'),
    ('agent', 'reserved', 'offer_end', 'busy'), ('agent', 'reserved', 'offer_end', 'free'),
    ('agent', 'reserved', 'offer_end', 'offline'), ('agent', 'reserved', 'offer_end', 'paused'),
    ('agent', 'reserved', 'offer_end', 'wrapup'), ('agent', 'reserved', 'release', 'free'),
    ('agent', 'reserved', 'release', 'offline'), ('agent', 'reserved', 'release', 'paused'),
    ('agent', 'reserved', 'release', 'wrapup'), ('agent', 'ringing', 'answer', 'busy'),
    ('agent', 'ringing', 'offer_end', 'busy'), ('agent', 'ringing', 'offer_end', 'free'),
    ('agent', 'ringing', 'offer_end', 'offline'), ('agent', 'ringing', 'offer_end', 'paused'),
    ('agent', 'ringing', 'offer_end', 'wrapup'), ('agent', 'ringing', 'release', 'free'),
    ('agent', 'ringing', 'release', 'offline'), ('agent', 'ringing', 'release', 'paused'),
    ('agent', 'ringing', 'release', 'wrapup'), ('agent', 'busy', 'call_end', 'free'),
    ('agent', 'busy', 'call_end', 'offline'), ('agent', 'busy', 'call_end', 'paused'),
    ('agent', 'busy', 'call_end', 'wrapup'), ('agent', 'busy', 'leg_end', 'free'),
    ('agent', 'busy', 'leg_end', 'offline'), ('agent', 'busy', 'leg_end', 'paused'),
    ('agent', 'busy', 'leg_end', 'wrapup'), ('agent', 'busy', 'logout', 'offline'),
    ('agent', 'busy', 'release', 'free'), ('agent', 'busy', 'release', 'offline'),
    ('agent', 'busy', 'release', 'paused'), ('agent', 'busy', 'release', 'wrapup'),
    ('agent', 'busy', 'change', 'offline'), ('agent', 'busy', 'reserve', 'reserved'),
    ('agent', 'busy', 'ring', 'ringing'), ('agent', 'wrapup', 'time', 'free'), ('agent', 'wrapup', 'time', 'paused'),
    ('agent', 'wrapup', 'wrapup', 'free'), ('agent', 'wrapup', 'wrapup', 'paused'),
    ('agent', 'wrapup', 'free', 'free'), ('agent', 'wrapup', 'release', 'free'),
    ('agent', 'wrapup', 'release', 'paused'), ('agent', 'wrapup', 'logout', 'offline'),
    ('agent', 'wrapup', 'unregister', 'offline'), ('agent', 'wrapup', 'reserve', 'reserved'),
    ('agent', 'wrapup', 'ring', 'ringing'), ('agent', 'wrapup', 'leg_start', 'busy'),
    ('agent', 'wrapup', 'change', 'offline'), ('agent', 'paused', 'resume', 'free'),
    ('agent', 'paused', 'login', 'free'), ('agent', 'paused', 'free', 'free'),
    ('agent', 'paused', 'wrapup', 'wrapup'), ('agent', 'paused', 'logout', 'offline'),
    ('agent', 'paused', 'unregister', 'offline'), ('agent', 'paused', 'reserve', 'reserved'),
    ('agent', 'paused', 'ring', 'ringing'), ('agent', 'paused', 'leg_start', 'busy'),
    ('agent', 'paused', 'change', 'offline'), ('entry', 'arriving', 'adopt', 'waiting'),
    ('entry', 'arriving', 'end', 'ended'), ('entry', 'waiting', 'arrive', 'arriving'),
    ('entry', 'waiting', 'offer', 'offered'), ('entry', 'waiting', 'lose', 'lost'),
    ('entry', 'waiting', 'end', 'ended'), ('entry', 'offered', 'answer', 'talking'),
    ('entry', 'offered', 'fail', 'waiting'), ('entry', 'offered', 'lose', 'lost'),
    ('entry', 'offered', 'end', 'ended'), ('entry', 'talking', 'requeue', 'waiting'),
    ('entry', 'talking', 'end', 'ended'), ('entry', 'lost', 'return', 'waiting'), ('entry', 'lost', 'end', 'ended'),
    ('offer', 'reserved', 'ring', 'ringing'), ('offer', 'reserved', 'answer', 'answered'),
    ('offer', 'reserved', 'end', 'ended'), ('offer', 'ringing', 'answer', 'answered'),
    ('offer', 'ringing', 'end', 'ended'), ('offer', 'answered', 'end', 'ended');
