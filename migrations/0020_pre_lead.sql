-- Leads: persons to call, their numbers, zones, do-not-call lists; which lead is next. docs/dialler.md explains.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE lead_state AS ENUM (
    'waiting',   -- is dialled when it is due and nothing is against it
    'dialling',  -- taken by the engine: an attempt is open
    'done'       -- finished, with a result
);

CREATE TYPE lead_result AS ENUM (
    'reached',      -- the purpose of the campaign is fulfilled
    'exhausted',    -- every attempt was used up
    'no_number',    -- none of the numbers exists any more
    'do_not_call',  -- on a do-not-call list, or asked not to be called
    'no_consent',   -- the campaign demands consent and there is none
    'declined',     -- does not want this call
    'expired',      -- the time until which it could be dialled is over
    'removed'       -- taken out by a person
);

CREATE TYPE lead_number_state AS ENUM (
    'good',        -- may be dialled
    'dead',        -- does not exist
    'do_not_call'  -- was on a do-not-call list when its turn came
);

CREATE TYPE do_not_call_scope AS ENUM (
    'global',   -- nobody calls this number
    'tenant',   -- no campaign of the tenant does
    'campaign'  -- one campaign does not
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE zone_set (
    zone_set_id  integer CONSTRAINT zone_set_pkey PRIMARY KEY,
    zones        text[] NOT NULL CONSTRAINT zone_set_zones_key UNIQUE
);
COMMENT ON TABLE zone_set IS 'Sets of time zones in which a number may be; hours must be open in all of them. Set 0 has none: nobody knows the zone. Rows are only added.';
COMMENT ON COLUMN zone_set.zones IS 'IANA names, sorted.';
CREATE SEQUENCE zone_set_seq OWNED BY zone_set.zone_set_id;

CREATE TABLE lead (
    tenant_id        integer NOT NULL,
    campaign_id      integer NOT NULL,
    lead_id          bigint GENERATED ALWAYS AS IDENTITY,
    list_id          integer NOT NULL,
    external_id      text NOT NULL CONSTRAINT lead_external_id_check
                     CHECK (external_id <> '' AND external_id !~ '^ | $|[[:cntrl:]]' AND length(external_id) <= 128),
    name             text NOT NULL DEFAULT '' CONSTRAINT lead_name_check CHECK (name !~ '[[:cntrl:]]' AND length(name) <= 200),
    state            lead_state NOT NULL DEFAULT 'waiting',
    result           lead_result,
    priority         lead_priority NOT NULL DEFAULT 'medium',
    rank             smallint NOT NULL CONSTRAINT lead_rank_check CHECK (rank BETWEEN 0 AND 4),
    due_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    position         smallint NOT NULL DEFAULT 1,
    zone_set_id      integer NOT NULL CONSTRAINT lead_zone_set_fkey REFERENCES zone_set,
    attempts         integer NOT NULL DEFAULT 0 CONSTRAINT lead_attempts_check CHECK (attempts >= 0),
    uncharged        integer NOT NULL DEFAULT 0 CONSTRAINT lead_uncharged_check CHECK (uncharged >= 0),
    rule_counts      jsonb NOT NULL DEFAULT '{}',
    caller_id        text CONSTRAINT lead_caller_id_check CHECK (caller_id ~ '^[+]?[0-9]{1,20}$'),
    queue_id         integer,
    gateway          text NOT NULL DEFAULT '',
    variables        jsonb NOT NULL DEFAULT '{}' CONSTRAINT lead_variables_check CHECK (jsonb_typeof(variables) = 'object'),
    consent_basis    text NOT NULL DEFAULT '' CONSTRAINT lead_consent_basis_check CHECK (consent_basis !~ '[[:cntrl:]]' AND length(consent_basis) <= 128),
    consent_at       timestamptz,
    consent_ref      text NOT NULL DEFAULT '' CONSTRAINT lead_consent_ref_check CHECK (consent_ref !~ '[[:cntrl:]]' AND length(consent_ref) <= 200),
    expires_at       timestamptz,
    last_outcome     text NOT NULL DEFAULT '',
    last_attempt_at  timestamptz,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at          timestamptz,
    CONSTRAINT lead_pkey PRIMARY KEY (tenant_id, lead_id),
    CONSTRAINT lead_external_id_key UNIQUE (tenant_id, campaign_id, external_id),
    CONSTRAINT lead_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign,
    CONSTRAINT lead_list_fkey FOREIGN KEY (tenant_id, list_id) REFERENCES campaign_list,
    CONSTRAINT lead_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue,
    CONSTRAINT lead_done_check CHECK ((state = 'done') = (result IS NOT NULL) AND (state = 'done') = (done_at IS NOT NULL))
) WITH (fillfactor = 90);
COMMENT ON TABLE lead IS 'A person whom a campaign calls. Whoever has no external id has his first number as one.';
COMMENT ON COLUMN lead.rank IS 'Order of dialling, the higher first: 0 low, 1 medium, 2 high, 3 urgent, 4 was abandoned or cut off.';
COMMENT ON COLUMN lead.due_at IS 'Not before; within one rank the older goes first. Whoever is put back unharmed keeps it and so stays at the head.';
COMMENT ON COLUMN lead.position IS 'Which of the numbers is dialled next.';
COMMENT ON COLUMN lead.zone_set_id IS 'Zones of that number, so that one index gives the leads for which the hours are open.';
COMMENT ON COLUMN lead.attempts IS 'Charged ones; uncharged counts our own failures.';
COMMENT ON COLUMN lead.rule_counts IS 'Position of a retry rule to how many attempts it fitted.';
COMMENT ON COLUMN lead.caller_id IS 'Shown at every attempt, once it was chosen.';
COMMENT ON COLUMN lead.queue_id IS 'Queue of this lead; null: that of the campaign.';
COMMENT ON COLUMN lead.gateway IS 'Gateway or group that is tried first; empty: that of the campaign.';
COMMENT ON COLUMN lead.consent_basis IS 'On what the consent of the person rests, as "contract" or "form"; empty: there is none.';
COMMENT ON COLUMN lead.consent_ref IS 'Where the evidence is.';
CREATE INDEX lead_due_idx ON lead (campaign_id, zone_set_id, rank, due_at, lead_id) WHERE state = 'waiting';
COMMENT ON INDEX lead_due_idx IS 'The next leads of a campaign, for each set of zones and each rank.';
CREATE INDEX lead_dialling_idx ON lead (campaign_id, lead_id) WHERE state = 'dialling';
COMMENT ON INDEX lead_dialling_idx IS 'Leads with an open attempt.';
CREATE INDEX lead_list_idx ON lead (tenant_id, list_id, lead_id);
COMMENT ON INDEX lead_list_idx IS 'lead list and export of a list, page by page.';

CREATE TABLE lead_number (
    tenant_id        integer NOT NULL,
    lead_id          bigint NOT NULL,
    position         smallint NOT NULL CONSTRAINT lead_number_position_check CHECK (position BETWEEN 1 AND 20),
    campaign_id      integer NOT NULL,
    number           text NOT NULL CONSTRAINT lead_number_e164_check CHECK (number ~ '^[1-9][0-9]{2,14}$'),
    state            lead_number_state NOT NULL DEFAULT 'good',
    region           text NOT NULL DEFAULT '',
    zone_set_id      integer NOT NULL CONSTRAINT lead_number_zone_set_fkey REFERENCES zone_set,
    attempts         integer NOT NULL DEFAULT 0 CONSTRAINT lead_number_attempts_check CHECK (attempts >= 0),
    last_outcome     text NOT NULL DEFAULT '',
    CONSTRAINT lead_number_pkey PRIMARY KEY (tenant_id, lead_id, position),
    CONSTRAINT lead_number_key UNIQUE (tenant_id, campaign_id, number),
    CONSTRAINT lead_number_lead_fkey FOREIGN KEY (tenant_id, lead_id) REFERENCES lead ON DELETE CASCADE
);
COMMENT ON TABLE lead_number IS 'Numbers of a lead in the order in which they are tried. A campaign has each number once.';
COMMENT ON COLUMN lead_number.region IS 'Of the number ranges at the import, under its one name; chooses the caller id.';

CREATE TABLE do_not_call (
    tenant_id    integer NOT NULL CONSTRAINT do_not_call_tenant_fkey REFERENCES tenant,
    entry_id     bigint GENERATED ALWAYS AS IDENTITY,
    campaign_id  integer,
    number       text NOT NULL CONSTRAINT do_not_call_number_check CHECK (number ~ '^[1-9][0-9]{2,14}$'),
    source       text NOT NULL DEFAULT '' CONSTRAINT do_not_call_source_check CHECK (source !~ '[[:cntrl:]]' AND length(source) <= 128),
    note         text NOT NULL DEFAULT '' CONSTRAINT do_not_call_note_check CHECK (note !~ '[[:cntrl:]]' AND length(note) <= 1000),
    expires_at   timestamptz,
    added_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT do_not_call_pkey PRIMARY KEY (tenant_id, entry_id),
    CONSTRAINT do_not_call_number_key UNIQUE NULLS NOT DISTINCT (number, tenant_id, campaign_id),
    CONSTRAINT do_not_call_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE,
    CONSTRAINT do_not_call_scope_check CHECK (tenant_id <> 0 OR campaign_id IS NULL)
);
COMMENT ON TABLE do_not_call IS 'Numbers that are not called: tenant 0 for everybody, else by the tenant, or by one of its campaigns. Looked at by import, choice and dialling.';
COMMENT ON COLUMN do_not_call.source IS 'How it got here: opt_out and the key, a file, or a person.';
COMMENT ON COLUMN do_not_call.expires_at IS 'Until then; null: for ever.';
CREATE INDEX do_not_call_list_idx ON do_not_call (tenant_id, campaign_id, number);
COMMENT ON INDEX do_not_call_list_idx IS 'dnc list.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION zone_set_of(names text[]) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- Owner's rights: every tenant adds to the sets that all share, and can only add.
DECLARE
    wanted constant text[] := coalesce((SELECT array_agg(DISTINCT name ORDER BY name) FROM unnest(names) AS name), '{}');
    known integer;
BEGIN
    SELECT zone_set_id INTO known FROM zone_set WHERE zones = wanted;
    IF NOT FOUND THEN
        INSERT INTO zone_set (zone_set_id, zones) VALUES (nextval('zone_set_seq'), wanted)
        ON CONFLICT (zones) DO UPDATE SET zones = excluded.zones
        RETURNING zone_set_id INTO known;
    END IF;
    RETURN known;
END $$;
COMMENT ON FUNCTION zone_set_of(text[]) IS 'The set of these zones, made if there is none; of no zones 0.';

CREATE FUNCTION lead_rank(priority lead_priority) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
SELECT CASE priority WHEN 'low' THEN 0 WHEN 'medium' THEN 1 WHEN 'high' THEN 2 ELSE 3 END::smallint
$$;
COMMENT ON FUNCTION lead_rank(lead_priority) IS 'The ordinary rank of leads of a priority.';

CREATE FUNCTION do_not_call_scope(tenant integer, campaign integer, called text, at timestamptz) RETURNS do_not_call_scope LANGUAGE sql STABLE AS $$
SELECT CASE WHEN d.tenant_id = 0 THEN 'global' WHEN d.campaign_id IS NULL THEN 'tenant' ELSE 'campaign' END::do_not_call_scope
FROM do_not_call d
WHERE d.number = called AND d.tenant_id IN (0, tenant) AND (d.campaign_id IS NULL OR d.campaign_id = campaign)
  AND (d.expires_at IS NULL OR d.expires_at > at)
ORDER BY d.tenant_id, d.campaign_id NULLS FIRST
LIMIT 1
$$;
COMMENT ON FUNCTION do_not_call_scope(integer, integer, text, timestamptz) IS 'The widest do-not-call list that holds a number at that time; null: none, it may be called.';

CREATE FUNCTION do_not_call_add(tenant integer, campaign integer, called text, origin text, until timestamptz DEFAULT NULL, remark text DEFAULT '')
RETURNS bigint LANGUAGE sql AS $$
-- Idempotent: the later end wins, and for ever is the latest. campaign null: all campaigns of the tenant.
INSERT INTO do_not_call AS d (tenant_id, campaign_id, number, source, expires_at, note)
VALUES (tenant, campaign, called, origin, until, remark)
ON CONFLICT (number, tenant_id, campaign_id) DO UPDATE
SET expires_at = CASE WHEN d.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL ELSE greatest(d.expires_at, excluded.expires_at) END,
    source = excluded.source, note = excluded.note
RETURNING entry_id
$$;
COMMENT ON FUNCTION do_not_call_add(integer, integer, text, text, timestamptz, text) IS 'Puts a number on the do-not-call list of a tenant (0: of everybody) or campaign.';

CREATE FUNCTION lead_end(tenant integer, ended bigint, how lead_result) RETURNS lead_state LANGUAGE sql AS $$
-- Precondition: not done; else null and nothing happens.
UPDATE lead SET state = 'done', result = how, done_at = clock_timestamp()
WHERE tenant_id = tenant AND lead_id = ended AND state <> 'done'
RETURNING state
$$;
COMMENT ON FUNCTION lead_end(integer, bigint, lead_result) IS 'Finishes a lead.';

CREATE FUNCTION lead_turn(tenant integer, turned bigint, to_position integer, due timestamptz, to_rank integer) RETURNS lead_state LANGUAGE sql AS $$
-- Precondition: not done, and the number is there. Zone and region follow the number.
UPDATE lead l
SET state = 'waiting', position = n.position, zone_set_id = n.zone_set_id, due_at = due, rank = coalesce(to_rank, l.rank)
FROM lead_number n
WHERE l.tenant_id = tenant AND l.lead_id = turned AND l.state <> 'done'
  AND n.tenant_id = tenant AND n.lead_id = turned AND n.position = to_position
RETURNING l.state
$$;
COMMENT ON FUNCTION lead_turn(integer, bigint, integer, timestamptz, integer) IS 'Lets a lead wait for its next attempt: which number, when, and in which rank (null: as it was).';

CREATE FUNCTION lead_drop_number(tenant integer, dropped bigint, which integer, how lead_number_state, due timestamptz) RETURNS lead_state LANGUAGE plpgsql AS $$
-- The number is never dialled again; the next good one is the lead's, after the last the first. Without one the lead
-- is finished: do_not_call if that was the reason for any of its numbers, else no_number.
DECLARE
    next smallint;
BEGIN
    UPDATE lead_number SET state = how WHERE tenant_id = tenant AND lead_id = dropped AND position = which;
    SELECT position INTO next FROM lead_number
    WHERE tenant_id = tenant AND lead_id = dropped AND state = 'good'
    ORDER BY position < which, position LIMIT 1;
    IF FOUND THEN
        RETURN lead_turn(tenant, dropped, next, due, NULL);
    END IF;
    RETURN lead_end(tenant, dropped, CASE WHEN EXISTS (
        SELECT FROM lead_number WHERE tenant_id = tenant AND lead_id = dropped AND state = 'do_not_call')
        THEN 'do_not_call' ELSE 'no_number' END::lead_result);
END $$;
COMMENT ON FUNCTION lead_drop_number(integer, bigint, integer, lead_number_state, timestamptz) IS 'Takes a number of a lead out for good; the lead waits with its next one, or is finished. Returns its state.';

CREATE FUNCTION lead_next(campaign integer, open_sets integer[], most integer, at timestamptz) RETURNS TABLE (tenant_id integer, lead_id bigint) LANGUAGE sql AS $$
-- One probe of lead_due_idx for each rank and set. Locked rows are another engine's, or a person's: passed over.
SELECT found.tenant_id, found.lead_id
FROM generate_series(4, 0, -1) AS ranks (rank)
CROSS JOIN unnest(open_sets) AS sets (zone_set_id)
CROSS JOIN LATERAL (
    SELECT l.tenant_id, l.lead_id, l.rank, l.due_at FROM lead l
    WHERE l.campaign_id = campaign AND l.zone_set_id = sets.zone_set_id AND l.rank = ranks.rank
      AND l.state = 'waiting' AND l.due_at <= at
    ORDER BY l.due_at, l.lead_id LIMIT most
    FOR UPDATE SKIP LOCKED
) AS found
ORDER BY found.rank DESC, found.due_at, found.lead_id
LIMIT most
$$;
COMMENT ON FUNCTION lead_next(integer, integer[], integer, timestamptz) IS 'Locks the next due leads of a campaign in the order of dialling, of those whose zones are open.';

CREATE FUNCTION lead_take(tenant integer, campaign integer, open_sets integer[], most integer, at timestamptz DEFAULT clock_timestamp())
RETURNS SETOF lead LANGUAGE plpgsql AS $$
-- In one transaction with the attempts that are made of them: a crash leaves them waiting. Leads that must not be
-- dialled are finished or turned to their next number here, and others taken instead.
DECLARE
    rules campaign;
    candidate record;
    taken lead;
    called text;
    looked integer := 0;
    given integer := 0;
BEGIN
    SELECT * INTO rules FROM campaign c WHERE c.tenant_id = tenant AND c.campaign_id = campaign AND c.state = 'running' FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    LOOP
        looked := 0;
        FOR candidate IN SELECT * FROM lead_next(campaign, open_sets, most - given, at) LOOP
            looked := looked + 1;
            SELECT * INTO taken FROM lead l WHERE l.tenant_id = tenant AND l.lead_id = candidate.lead_id;
            SELECT n.number INTO called FROM lead_number n
            WHERE n.tenant_id = tenant AND n.lead_id = taken.lead_id AND n.position = taken.position AND n.state = 'good';
            IF called IS NULL THEN
                PERFORM lead_drop_number(tenant, taken.lead_id, taken.position, 'dead', taken.due_at);
            ELSIF taken.expires_at <= at THEN
                PERFORM lead_end(tenant, taken.lead_id, 'expired');
            ELSIF rules.consent_required AND taken.consent_basis = '' THEN
                PERFORM lead_end(tenant, taken.lead_id, 'no_consent');
            ELSIF do_not_call_scope(tenant, campaign, called, at) IS NOT NULL THEN
                PERFORM lead_drop_number(tenant, taken.lead_id, taken.position, 'do_not_call', taken.due_at);
            ELSE
                UPDATE lead l SET state = 'dialling' WHERE l.tenant_id = tenant AND l.lead_id = taken.lead_id
                RETURNING l.* INTO taken;
                given := given + 1;
                RETURN NEXT taken;
            END IF;
        END LOOP;
        EXIT WHEN looked = 0 OR given >= most;
    END LOOP;
END $$;
COMMENT ON FUNCTION lead_take(integer, integer, integer[], integer, timestamptz) IS 'Takes due leads of a running campaign for dialling: consent, expiry and do-not-call lists are looked at. The caller makes their attempts in the same transaction.';

CREATE FUNCTION lead_charge(tenant integer, charged bigint, which integer, outcome text, counts boolean, rule integer) RETURNS void LANGUAGE sql AS $$
UPDATE lead_number SET attempts = attempts + 1, last_outcome = outcome
WHERE tenant_id = tenant AND lead_id = charged AND position = which;
UPDATE lead
SET attempts = attempts + counts::integer, uncharged = uncharged + (NOT counts)::integer,
    rule_counts = rule_counts || jsonb_build_object(rule::text, coalesce((rule_counts ->> rule::text)::integer, 0) + 1),
    last_outcome = outcome, last_attempt_at = clock_timestamp()
WHERE tenant_id = tenant AND lead_id = charged
$$;
COMMENT ON FUNCTION lead_charge(integer, bigint, integer, text, boolean, integer) IS 'Counts an attempt for a lead and its number: outcome, whether it is charged, and the retry rule that fitted (position).';

CREATE FUNCTION lead_outlook(campaign integer, open_sets integer[], at timestamptz) RETURNS TABLE (due_open boolean, due_closed boolean, due_unknown boolean, next_due_at timestamptz, dialling boolean)
LANGUAGE sql STABLE AS $$
-- A few probes of the index, whatever the number of leads.
WITH first_due AS (
    SELECT sets.zone_set_id, min(first.due_at) AS due_at
    FROM zone_set sets CROSS JOIN generate_series(0, 4) AS ranks (rank)
    CROSS JOIN LATERAL (
        SELECT l.due_at FROM lead l
        WHERE l.campaign_id = campaign AND l.zone_set_id = sets.zone_set_id AND l.rank = ranks.rank AND l.state = 'waiting'
        ORDER BY l.due_at LIMIT 1) AS first
    GROUP BY sets.zone_set_id
), told AS (
    -- Where the campaign says which zones stand for an unknown one, it is their hours that are closed.
    SELECT due_at, zone_set_id = ANY (open_sets) AS is_open,
           zone_set_id = 0 AND (SELECT c.unknown_zones = '{}' FROM campaign c WHERE c.campaign_id = lead_outlook.campaign) AS is_unknown
    FROM first_due
)
SELECT coalesce(bool_or(due_at <= at AND is_open), false),
       coalesce(bool_or(due_at <= at AND NOT is_open AND NOT is_unknown), false),
       coalesce(bool_or(due_at <= at AND NOT is_open AND is_unknown), false),
       min(due_at),
       EXISTS (SELECT FROM lead WHERE campaign_id = campaign AND state = 'dialling')
FROM told
$$;
COMMENT ON FUNCTION lead_outlook(integer, integer[], timestamptz) IS 'Why a campaign has no lead to dial: some are due in open zones, in closed ones, in unknown ones; when the next is due; some are being dialled.';

-- ------------------------------------------------------------------------------------------ first rows

INSERT INTO zone_set (zone_set_id, zones) VALUES (0, '{}');

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL audit_changes_of('do_not_call', '{}', '{}', '');
CALL protect_tenant_rows('lead');
CALL protect_tenant_rows('lead_number');
CALL protect_tenant_rows('do_not_call', shared => true);
CALL open_for_reading('zone_set');
