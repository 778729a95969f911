-- What an agent sees of a call: his card, the address that opens with it, the form that he fills in, and what
-- is known of the caller. Cards are made by ks-api from the events of offers (kalibri/services/card.py).

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE pop_moment AS ENUM (
    'offer',   -- when the agent's phone begins to ring
    'answer'   -- when he answers
);

CREATE TYPE card_lookup AS ENUM (
    'none',    -- the tenant looks nobody up, or the caller is withheld
    'wanted',  -- is being asked for, or waits for it
    'done',    -- answered, perhaps that nothing is known
    'failed'   -- no usable answer in time; the card goes on without
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE form (
    tenant_id   integer NOT NULL CONSTRAINT form_tenant_fkey REFERENCES tenant,
    form_id     integer GENERATED ALWAYS AS IDENTITY,
    name        text NOT NULL CONSTRAINT form_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    enabled     boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT form_pkey PRIMARY KEY (tenant_id, form_id),
    CONSTRAINT form_name_key UNIQUE (tenant_id, name)
);
COMMENT ON TABLE form IS 'Forms that agents fill in; one out of use is shown with no new call.';

CREATE TABLE form_version (
    tenant_id   integer NOT NULL,
    form_id     integer NOT NULL,
    version     integer NOT NULL CONSTRAINT form_version_check CHECK (version > 0),
    source      text NOT NULL CONSTRAINT form_version_source_check CHECK (length(source) <= 100000),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by  text NOT NULL DEFAULT '',
    CONSTRAINT form_version_pkey PRIMARY KEY (tenant_id, form_id, version),
    CONSTRAINT form_version_form_fkey FOREIGN KEY (tenant_id, form_id) REFERENCES form ON DELETE CASCADE
);
COMMENT ON TABLE form_version IS 'Texts of forms (YAML), never changed: new calls get the newest, a call keeps the one it began with.';

CREATE TABLE screen_pop (
    tenant_id  integer NOT NULL CONSTRAINT screen_pop_tenant_fkey REFERENCES tenant,
    pop_id     integer GENERATED ALWAYS AS IDENTITY,
    queue_id   integer,
    agent_id   integer,
    campaign_id integer,
    url        text NOT NULL DEFAULT '' CONSTRAINT screen_pop_url_check CHECK (url ~ '^(https?://[!-~]+)?$' AND length(url) <= 2000),
    open_at    pop_moment NOT NULL DEFAULT 'offer',
    form_id    integer,
    enabled    boolean NOT NULL DEFAULT true,
    CONSTRAINT screen_pop_pkey PRIMARY KEY (tenant_id, pop_id),
    CONSTRAINT screen_pop_target_key UNIQUE NULLS NOT DISTINCT (tenant_id, queue_id, agent_id, campaign_id),
    CONSTRAINT screen_pop_target_check CHECK (num_nonnulls(queue_id, agent_id, campaign_id) <= 1),
    CONSTRAINT screen_pop_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue ON DELETE CASCADE,
    CONSTRAINT screen_pop_agent_fkey FOREIGN KEY (tenant_id, agent_id) REFERENCES agent ON DELETE CASCADE,
    CONSTRAINT screen_pop_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE,
    CONSTRAINT screen_pop_form_fkey FOREIGN KEY (tenant_id, form_id) REFERENCES form
);
COMMENT ON TABLE screen_pop IS 'What opens with a call for an agent, a campaign, a queue or (all null) the tenant. Address and form each come from the first of these that names one.';
COMMENT ON COLUMN screen_pop.campaign_id IS 'For calls whose variable campaign is its name.';
COMMENT ON COLUMN screen_pop.url IS 'Address with places for variables (callcore/template.py); empty: none opens.';

CREATE TABLE caller_lookup (
    tenant_id      integer CONSTRAINT caller_lookup_tenant_fkey REFERENCES tenant,
    url            text NOT NULL CONSTRAINT caller_lookup_url_check CHECK (url ~ '^https?://[!-~]+$' AND length(url) <= 2000),
    headers        jsonb NOT NULL DEFAULT '{}' CONSTRAINT caller_lookup_headers_check CHECK (jsonb_typeof(headers) = 'object'),
    timeout_ms     integer NOT NULL DEFAULT 2000 CONSTRAINT caller_lookup_timeout_check CHECK (timeout_ms BETWEEN 100 AND 10000),
    cache_seconds  integer NOT NULL DEFAULT 300 CONSTRAINT caller_lookup_cache_check CHECK (cache_seconds BETWEEN 0 AND 86400),
    enabled        boolean NOT NULL DEFAULT true,
    CONSTRAINT caller_lookup_pkey PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE caller_lookup IS 'Where a tenant''s system is asked who calls (HTTP GET, an object of JSON comes back).';
COMMENT ON COLUMN caller_lookup.headers IS 'Sent with each request, as a key; they must be known to be sent, so they are kept as they are.';

CREATE TABLE caller_cache (
    tenant_id   integer NOT NULL CONSTRAINT caller_cache_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    key         text NOT NULL,
    data        jsonb NOT NULL DEFAULT '{}',
    error       text NOT NULL DEFAULT '',
    expires_at  timestamptz NOT NULL,
    CONSTRAINT caller_cache_pkey PRIMARY KEY (tenant_id, key)
);
COMMENT ON TABLE caller_cache IS 'Answers to look-ups by the SHA-256 of the address; failures, too, for some seconds: a system that is down is not asked at each call.';
CREATE INDEX caller_cache_expires_idx ON caller_cache (expires_at);
COMMENT ON INDEX caller_cache_expires_idx IS 'What has expired goes.';

CREATE TABLE agent_card (
    tenant_id     integer NOT NULL,
    offer_id      bigint NOT NULL,
    entry_id      bigint NOT NULL,
    call_id       uuid NOT NULL,
    queue_id      integer NOT NULL,
    agent_id      integer NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    variables     jsonb NOT NULL,
    history       jsonb NOT NULL DEFAULT '{}',
    url_template  text NOT NULL DEFAULT '',
    open_at       pop_moment NOT NULL DEFAULT 'offer',
    opened_at     timestamptz,
    url           text NOT NULL DEFAULT '',
    form_id       integer,
    form_version  integer,
    lookup        card_lookup NOT NULL DEFAULT 'none',
    lookup_until  timestamptz,
    lookup_error  text NOT NULL DEFAULT '',
    info          jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT agent_card_pkey PRIMARY KEY (tenant_id, offer_id),
    CONSTRAINT agent_card_offer_fkey FOREIGN KEY (tenant_id, offer_id) REFERENCES offer ON DELETE CASCADE,
    CONSTRAINT agent_card_form_fkey FOREIGN KEY (tenant_id, form_id, form_version) REFERENCES form_version,
    CONSTRAINT agent_card_form_check CHECK ((form_id IS NULL) = (form_version IS NULL)),
    CONSTRAINT agent_card_lookup_check CHECK (lookup <> 'wanted' OR lookup_until IS NOT NULL)
) WITH (fillfactor = 70);
COMMENT ON TABLE agent_card IS 'What an agent sees of a call that he was offered. Each step (made, opened, looked up) is told once as an event, by trigger.';
COMMENT ON COLUMN agent_card.variables IS 'Values for the places of address and form, as they were when the card was made.';
COMMENT ON COLUMN agent_card.url IS 'The address as it was opened; empty: not yet.';
COMMENT ON COLUMN agent_card.lookup_until IS 'Whoever looks up has until then; later another one may.';
CREATE INDEX agent_card_lookup_idx ON agent_card (lookup_until) WHERE lookup = 'wanted';
COMMENT ON INDEX agent_card_lookup_idx IS 'Who is to be looked up.';
CREATE INDEX agent_card_agent_idx ON agent_card (tenant_id, agent_id, offer_id);
COMMENT ON INDEX agent_card_agent_idx IS 'The cards of an agent, the newest first.';
CREATE INDEX agent_card_made_idx ON agent_card (made_at);
COMMENT ON INDEX agent_card_made_idx IS 'Old cards go.';

CREATE TABLE card_cursor (
    only_one  boolean DEFAULT true CONSTRAINT card_cursor_pkey PRIMARY KEY CONSTRAINT card_cursor_only_one_check CHECK (only_one),
    seq       bigint NOT NULL
);
COMMENT ON TABLE card_cursor IS 'Cards have been made of every event up to this number.';

CREATE TABLE form_sheet (
    tenant_id     integer NOT NULL CONSTRAINT form_sheet_tenant_fkey REFERENCES tenant,
    sheet_id      bigint GENERATED ALWAYS AS IDENTITY,
    form_id       integer NOT NULL,
    version       integer NOT NULL,
    offer_id      bigint NOT NULL,
    entry_id      bigint NOT NULL,
    call_id       uuid NOT NULL,
    queue_id      integer NOT NULL,
    agent_id      integer NOT NULL,
    campaign      text NOT NULL DEFAULT '',
    caller        text NOT NULL DEFAULT '',
    answers       jsonb NOT NULL CONSTRAINT form_sheet_answers_check CHECK (jsonb_typeof(answers) = 'object'),
    disposition   text,
    began_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    saved_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    saved_by      text NOT NULL DEFAULT '',
    finished_at   timestamptz,
    CONSTRAINT form_sheet_pkey PRIMARY KEY (tenant_id, sheet_id),
    CONSTRAINT form_sheet_offer_key UNIQUE (tenant_id, offer_id),
    CONSTRAINT form_sheet_form_fkey FOREIGN KEY (tenant_id, form_id, version) REFERENCES form_version
);
COMMENT ON TABLE form_sheet IS 'A form as it was filled in for a call; it outlives card, offer and agent.';
COMMENT ON COLUMN form_sheet.disposition IS 'Answer of the field that the form names as the disposition; null: none (yet).';
CREATE INDEX form_sheet_saved_idx ON form_sheet (tenant_id, saved_at);
COMMENT ON INDEX form_sheet_saved_idx IS 'Sheets of a time.';
CREATE INDEX form_sheet_call_idx ON form_sheet (tenant_id, call_id);
COMMENT ON INDEX form_sheet_call_idx IS 'The sheets of a call, and its disposition.';
CREATE INDEX form_sheet_entry_idx ON form_sheet (tenant_id, entry_id);
COMMENT ON INDEX form_sheet_entry_idx IS 'Dispositions in the history of a caller.';

CREATE INDEX queue_entry_caller_idx ON queue_entry (tenant_id, caller, entry_id) WHERE caller <> '';
COMMENT ON INDEX queue_entry_caller_idx IS 'Earlier calls of a number.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION agent_account(p_tenant integer, p_agent integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT a.username FROM agent g JOIN account a USING (tenant_id, account_id) WHERE (g.tenant_id, g.agent_id) = (p_tenant, p_agent)
$$;
COMMENT ON FUNCTION agent_account(integer, integer) IS 'User name of the account on whose phone an agent is; null: he is on an external number.';

CREATE FUNCTION publish_card() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_kinds text[] := '{}';
    v_data jsonb;
    v_kind text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        v_kinds := v_kinds || 'card.make'::text;
    END IF;
    IF NEW.lookup IN ('done', 'failed') AND (TG_OP = 'INSERT' OR OLD.lookup <> NEW.lookup) THEN
        v_kinds := v_kinds || 'card.info'::text;
    END IF;
    IF NEW.opened_at IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.opened_at IS NULL) THEN
        v_kinds := v_kinds || 'card.open'::text;
    END IF;
    FOREACH v_kind IN ARRAY v_kinds LOOP
        v_data := jsonb_build_object('offer_id', NEW.offer_id, 'entry_id', NEW.entry_id) || CASE v_kind
            WHEN 'card.make' THEN jsonb_build_object(
                'variables', NEW.variables, 'history', NEW.history, 'lookup', NEW.lookup, 'open_at', NEW.open_at, 'form_version', NEW.form_version,
                'form', (SELECT name FROM form WHERE tenant_id = NEW.tenant_id AND form_id = NEW.form_id))
            WHEN 'card.info' THEN jsonb_build_object('lookup', NEW.lookup, 'info', NEW.info, 'error', NEW.lookup_error)
            ELSE jsonb_build_object('url', NEW.url) END;
        INSERT INTO event_outbox (at, tenant_id, kind, call_id, queue_id, agent_id, account, data)
        VALUES (clock_timestamp(), NEW.tenant_id, v_kind, NEW.call_id, NEW.queue_id, NEW.agent_id, agent_account(NEW.tenant_id, NEW.agent_id), v_data);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_card() IS 'Row trigger of agent_card: each step of a card becomes one event.';

CREATE FUNCTION publish_sheet() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO event_outbox (at, tenant_id, kind, call_id, queue_id, agent_id, account, data)
    VALUES (NEW.saved_at, NEW.tenant_id, 'form.save', NEW.call_id, NEW.queue_id, NEW.agent_id, agent_account(NEW.tenant_id, NEW.agent_id),
        jsonb_build_object('sheet_id', NEW.sheet_id, 'offer_id', NEW.offer_id, 'entry_id', NEW.entry_id, 'version', NEW.version,
            'form', (SELECT name FROM form WHERE tenant_id = NEW.tenant_id AND form_id = NEW.form_id), 'caller', NEW.caller,
            'campaign', NEW.campaign, 'disposition', NEW.disposition, 'finished', NEW.finished_at IS NOT NULL, 'answers', NEW.answers));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_sheet() IS 'Row trigger of form_sheet: what an agent saved becomes an event, for CRM systems.';

CREATE FUNCTION caller_history(p_tenant integer, p_caller text, p_before bigint, p_most integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_forms text[] := ARRAY[ltrim(p_caller, '+'), '+' || ltrim(p_caller, '+')];
BEGIN
    IF ltrim(p_caller, '+') = '' THEN
        RETURN '{"calls": [], "last_agent": null}';
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'calls', coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'at', h.entered_at, 'call_id', h.call_id, 'queue', h.queue, 'agent', h.agent, 'end', h.end_reason,
                'waited_seconds', h.waited_seconds, 'talk_seconds', h.talk_seconds, 'disposition', h.disposition)) ORDER BY h.entry_id DESC), '[]'),
            'last_agent', (array_agg(h.agent ORDER BY h.entry_id DESC) FILTER (WHERE h.agent IS NOT NULL))[1])
        FROM (
            SELECT e.entry_id, e.entered_at, e.call_id, q.name AS queue, a.name AS agent, e.end_reason,
                   round(e.waited_ms / 1000.0, 1) AS waited_seconds, CASE WHEN e.talk_ms > 0 THEN round(e.talk_ms / 1000.0, 1) END AS talk_seconds,
                   (SELECT s.disposition FROM form_sheet s WHERE s.tenant_id = p_tenant AND s.entry_id = e.entry_id AND s.disposition IS NOT NULL
                    ORDER BY s.sheet_id DESC LIMIT 1) AS disposition
            FROM queue_entry e
            JOIN queue q USING (tenant_id, queue_id)
            LEFT JOIN agent a USING (tenant_id, agent_id)
            WHERE e.tenant_id = p_tenant AND e.caller = ANY (v_forms) AND e.entry_id < p_before
            ORDER BY e.entry_id DESC
            LIMIT p_most) AS h);
END $$;
COMMENT ON FUNCTION caller_history(integer, text, bigint, integer) IS 'Earlier calls of a number to queues, before this entry, the newest first, and who talked with it last.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER agent_card_publish AFTER INSERT OR UPDATE ON agent_card FOR EACH ROW EXECUTE FUNCTION publish_card();
CREATE TRIGGER form_sheet_publish AFTER INSERT OR UPDATE ON form_sheet FOR EACH ROW EXECUTE FUNCTION publish_sheet();

CALL audit_changes_of('form', '{}', '{}', '');
CALL audit_changes_of('form_version', '{}', '{}', '');
CALL audit_changes_of('screen_pop', '{}', '{}', '');
CALL audit_changes_of('caller_lookup', '{headers}', '{}', '');

-- ---------------------------------------------------------------------------------- row-level security

CALL protect_tenant_rows('form');
CALL protect_tenant_rows('form_version');
CALL protect_tenant_rows('screen_pop');
CALL protect_tenant_rows('caller_lookup');
CALL protect_tenant_rows('caller_cache');
CALL protect_tenant_rows('agent_card');
CALL protect_tenant_rows('form_sheet');
REVOKE INSERT, UPDATE, DELETE ON agent_card FROM kalibri_api;
REVOKE DELETE ON form_sheet FROM kalibri_api;

-- ------------------------------------------------------------------------------------ first rows

INSERT INTO card_cursor (seq) VALUES (0);
