-- Events for programs: a stream that can be resumed without loss or doubles, and webhooks.
-- A transaction that changes something adds to event_outbox, in whatever order transactions commit. One sequencer at a
-- time moves what is committed to event_log and numbers it: a reader that has seen number N has seen, or can still
-- read, every smaller one, and no writer ever waits for another because of the numbers. A long transaction delays its
-- own events only. A table of a later file joins in by a trigger with publish_acd_events, or with one of its own.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE delivery_state AS ENUM (
    'pending',  -- to be sent, for the first time or again
    'dead'      -- given up; a person may try it again
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE event_outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT event_outbox_pkey PRIMARY KEY,
    at         timestamptz NOT NULL,
    tenant_id  integer,
    kind       text NOT NULL,
    call_id    uuid,
    queue_id   integer,
    agent_id   integer,
    account    text,
    data       jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE event_outbox IS 'Events that have no number yet; nearly empty while a ks-api or ks-worker runs.';

CREATE SEQUENCE event_log_seq;
COMMENT ON SEQUENCE event_log_seq IS 'Numbers of events; gaps are possible and mean nothing.';

CREATE TABLE event_log (
    seq        bigint CONSTRAINT event_log_pkey PRIMARY KEY,
    at         timestamptz NOT NULL,
    tenant_id  integer,
    kind       text NOT NULL,
    call_id    uuid,
    queue_id   integer,
    agent_id   integer,
    account    text,
    data       jsonb NOT NULL
);
COMMENT ON TABLE event_log IS 'Events in the order in which programs get them; kept for hours or days (worker.keep_events_hours), history is elsewhere.';
COMMENT ON COLUMN event_log.tenant_id IS 'Null: of the system only.';
COMMENT ON COLUMN event_log.account IS 'User name of the account that the event is about: what an agent that logged in may see.';

CREATE TABLE event_horizon (
    only_one  boolean DEFAULT true CONSTRAINT event_horizon_pkey PRIMARY KEY CONSTRAINT event_horizon_only_one_check CHECK (only_one),
    seq       bigint NOT NULL
);
COMMENT ON TABLE event_horizon IS 'Events up to this number are removed: who stopped before it must take a snapshot anew.';

CREATE TABLE webhook (
    tenant_id    integer NOT NULL CONSTRAINT webhook_tenant_fkey REFERENCES tenant,
    webhook_id   integer GENERATED ALWAYS AS IDENTITY,
    url          text NOT NULL CONSTRAINT webhook_url_check CHECK (url ~ '^https?://[^[:space:]]+$' AND length(url) <= 1000),
    kinds        text[] NOT NULL DEFAULT '{}',
    secret       text NOT NULL,
    enabled      boolean NOT NULL DEFAULT true,
    note         text NOT NULL DEFAULT '' CONSTRAINT webhook_note_check CHECK (length(note) <= 1000),
    created_at   timestamptz NOT NULL DEFAULT now(),
    cursor_seq   bigint NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    failed_at    timestamptz,
    last_error   text NOT NULL DEFAULT '',
    CONSTRAINT webhook_pkey PRIMARY KEY (tenant_id, webhook_id),
    CONSTRAINT webhook_id_key UNIQUE (webhook_id)
);
COMMENT ON TABLE webhook IS 'Addresses to which events of a tenant are posted; of tenant 0: the events of all.';
COMMENT ON COLUMN webhook.kinds IS 'Kinds, with * at the end for all that begin so; empty: all.';
COMMENT ON COLUMN webhook.secret IS 'Key of the signature (HMAC-SHA-256); it must be known to sign, so it is kept as it is.';
COMMENT ON COLUMN webhook.cursor_seq IS 'Deliveries have been made of every event up to this number.';

CREATE TABLE webhook_delivery (
    tenant_id    integer NOT NULL,
    delivery_id  bigint GENERATED ALWAYS AS IDENTITY,
    webhook_id   integer NOT NULL,
    event_seq    bigint NOT NULL,
    body         text NOT NULL,
    state        delivery_state NOT NULL DEFAULT 'pending',
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),
    last_error   text NOT NULL DEFAULT '',
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (tenant_id, delivery_id),
    CONSTRAINT webhook_delivery_webhook_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhook ON DELETE CASCADE,
    CONSTRAINT webhook_delivery_event_key UNIQUE (webhook_id, event_seq)
);
COMMENT ON TABLE webhook_delivery IS 'Events that are still to be posted, and those that were given up; what was delivered is removed.';
CREATE INDEX webhook_delivery_due_idx ON webhook_delivery (due_at) WHERE state = 'pending';
COMMENT ON INDEX webhook_delivery_due_idx IS 'What is to be posted next.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION sequence_events(most integer) RETURNS bigint LANGUAGE plpgsql AS $$
-- Call it in a transaction of its own: the lock, taken before the outbox is looked at and kept to the end, makes the
-- order of numbers the order of commits.
DECLARE
    last bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sequence_events')) THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    WITH taken AS (
        DELETE FROM event_outbox
        WHERE outbox_id = ANY (ARRAY(SELECT outbox_id FROM event_outbox ORDER BY outbox_id LIMIT most))
        RETURNING *
    ), moved AS (
        INSERT INTO event_log (seq, at, tenant_id, kind, call_id, queue_id, agent_id, account, data)
        SELECT nextval('event_log_seq'), at, tenant_id, kind, call_id, queue_id, agent_id, account, data
        FROM (SELECT * FROM taken ORDER BY outbox_id) AS t
        RETURNING seq
    )
    SELECT max(seq) INTO last FROM moved;
    IF last IS NOT NULL THEN
        PERFORM pg_notify('kalibri_event', last::text);
    END IF;
    RETURN last;
END $$;
COMMENT ON FUNCTION sequence_events(integer) IS 'Numbers events that were committed, the oldest first; the last number, null if there was nothing or somebody else does it.';

CREATE FUNCTION forget_events(older_than interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    horizon bigint;
    gone bigint;
BEGIN
    SELECT max(seq) INTO horizon FROM event_log
    WHERE at < now() - older_than AND seq <= coalesce((SELECT min(cursor_seq) FROM webhook WHERE enabled), 9223372036854775807);
    IF horizon IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE event_horizon SET seq = greatest(seq, horizon);
    DELETE FROM event_log WHERE seq <= horizon;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
COMMENT ON FUNCTION forget_events(interval) IS 'Removes old events that no webhook waits for, and moves the horizon; returns how many.';

CREATE FUNCTION publish_call_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO event_outbox (at, tenant_id, kind, call_id, account, data)
    SELECT at, tenant_id, kind, call_id, data ->> 'account', data FROM added ORDER BY event_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_call_events() IS 'Statement trigger of call_event: what the journals told becomes events.';

CREATE FUNCTION publish_acd_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO event_outbox (at, tenant_id, kind, call_id, queue_id, agent_id, account, data)
    SELECT n.at, n.tenant_id, n.kind, n.call_id, n.queue_id, n.agent_id,
           (SELECT a.username FROM agent g JOIN account a USING (tenant_id, account_id)
            WHERE (g.tenant_id, g.agent_id) = (n.tenant_id, n.agent_id)),
           n.data || jsonb_strip_nulls(jsonb_build_object('entry_id', n.entry_id, 'offer_id', n.offer_id))
    FROM added n ORDER BY n.seq;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_acd_events() IS 'Statement trigger of acd_event (transition table "added"): what happens in queues becomes events.';

CREATE FUNCTION publish_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    most constant integer := 100;
BEGIN
    IF (SELECT count(*) FROM added) <= most THEN
        INSERT INTO event_outbox (at, tenant_id, kind, data)
        SELECT at, tenant_id, 'config.' || noun, jsonb_build_object('operation', operation, 'key', key, 'actor', actor)
        FROM added ORDER BY audit_id;
    ELSE
        INSERT INTO event_outbox (at, tenant_id, kind, data)
        SELECT max(at), tenant_id, 'config.' || noun, jsonb_build_object('operation', operation, 'rows', count(*), 'actor', actor)
        FROM added GROUP BY tenant_id, noun, operation, actor;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_changes() IS 'Statement trigger of audit_log: changes of configuration become events; beyond 100 rows a statement one a tenant.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER call_event_publish AFTER INSERT ON call_event REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION publish_call_events();
CREATE TRIGGER audit_log_publish AFTER INSERT ON audit_log REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION publish_changes();

CALL audit_changes_of('webhook', '{secret}', '{cursor_seq,sent_at,failed_at,last_error}', '');

-- ---------------------------------------------------------------------------------- row-level security

ALTER TABLE event_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON event_log FOR SELECT TO kalibri_api USING (tenant_id = api_tenant());
GRANT SELECT ON event_log TO kalibri_api;
ALTER TABLE event_outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY nobody ON event_outbox USING (false);
CALL protect_tenant_rows('webhook');
CALL protect_tenant_rows('webhook_delivery');
CALL open_for_reading('event_horizon');

-- ------------------------------------------------------------------------------------ first rows

INSERT INTO event_horizon (seq) VALUES (0);
