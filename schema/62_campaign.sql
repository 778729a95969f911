-- Campaigns: what is dialled for whom, when, how fast, with which caller ids; retry rules; why a campaign is idle.
-- Leads and numbers are in 63_lead.sql, attempts and orders to media hosts in 64_attempt.sql. docs/dialler.md explains.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE campaign_mode AS ENUM (
    'broadcast',    -- a prompt is played to who answers; no agent unless he presses a key
    'agent_first',  -- the agent is called, reads, and then the customer is called
    'preview',      -- the agent sees the lead and accepts or skips it, then the customer is called
    'progressive',  -- one call for one idle agent
    'predictive'    -- as many calls as the abandonment cap allows
);

CREATE TYPE campaign_state AS ENUM (
    'stopped',  -- places no call; what was ordered and not yet dialled was taken back
    'running',  -- places calls
    'paused',   -- places no new call; what is ringing or talking goes on
    'finished'  -- was running and has no lead left
);

CREATE TYPE dial_reason AS ENUM (
    'dialling',          -- not idle: a call was placed
    'not_running',       -- stopped, paused or finished
    'no_leads',          -- no lead is waiting
    'not_due',           -- leads wait for the time of their next try
    'hours',             -- leads are due, but it is too early or too late where they are
    'no_zone',           -- leads are due whose zone nobody knows
    'in_progress',       -- every lead that is left is being dialled now
    'no_agents',         -- no agent of the queue is logged in
    'agents_busy',       -- every idle agent has his call
    'queue_load',        -- the queue is too full for leads of this priority
    'warm_up',           -- too little is known yet for more than one call an agent
    'allowance',         -- one more call would leave too many answers without an agent
    'abandon_cap',       -- the share of abandoned answers is used up
    'lines',             -- every line of the campaign is in use
    'calls_per_second',  -- the campaign dials as fast as it may
    'tenant_limit',      -- calls at once of the tenant
    'gateway_limit',     -- calls at once of the gateways
    'gateway_failures',  -- the gateways fail too often
    'host_limit',        -- the media hosts carry as much as they may
    'no_host',           -- no media host takes calls
    'load_average',      -- the load average is too high
    'caller_id_cap',     -- every caller id has made its calls of the day
    'fair_share'         -- other campaigns have their turn
);

CREATE TYPE retry_action AS ENUM (
    'retry',        -- the same number again
    'next_number',  -- the next number of the lead at once; after the last the first again, with the delay
    'drop_number',  -- this number never again; the next one, if there is one
    'stop',         -- the lead is finished
    'do_not_call'   -- the number goes on the tenant's do-not-call list; the lead is finished
);

CREATE TYPE lead_priority AS ENUM (
    'low',     -- when nobody waits and an agent is free
    'medium',  -- while the queue has room
    'high',    -- until the queue is full
    'urgent'   -- goes ahead of callers who wait
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE retry_rule (
    tenant_id     integer NOT NULL CONSTRAINT retry_rule_tenant_fkey REFERENCES tenant,
    table_name    text NOT NULL CONSTRAINT retry_rule_table_name_check CHECK (table_name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    position      integer NOT NULL CONSTRAINT retry_rule_position_check CHECK (position BETWEEN 1 AND 1000),
    outcome       text NOT NULL DEFAULT '' CONSTRAINT retry_rule_outcome_check CHECK (outcome ~ '^[a-z_]{0,32}$'),
    code          text NOT NULL DEFAULT '' CONSTRAINT retry_rule_code_check CHECK (code ~ '^([1-6][0-9]{2}|[1-6]xx)?$'),
    cause         integer CONSTRAINT retry_rule_cause_check CHECK (cause BETWEEN 1 AND 127),
    verdict       text NOT NULL DEFAULT '' CONSTRAINT retry_rule_verdict_check CHECK (verdict ~ '^[a-z0-9_]{0,32}$'),
    action        retry_action NOT NULL,
    delay_seconds integer NOT NULL DEFAULT 0 CONSTRAINT retry_rule_delay_check CHECK (delay_seconds BETWEEN 0 AND 2592000),
    max_attempts  integer CONSTRAINT retry_rule_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    charged       boolean NOT NULL DEFAULT true,
    hours         text NOT NULL DEFAULT '',
    growth        numeric(5,2) NOT NULL DEFAULT 1 CONSTRAINT retry_rule_growth_check CHECK (growth >= 1),
    longest_seconds integer NOT NULL DEFAULT 86400 CONSTRAINT retry_rule_longest_check CHECK (longest_seconds >= 1),
    first         boolean NOT NULL DEFAULT false,
    note          text NOT NULL DEFAULT '',
    CONSTRAINT retry_rule_pkey PRIMARY KEY (tenant_id, table_name, position)
);
COMMENT ON TABLE retry_rule IS 'What follows from an attempt: of a named table the first rule that fits, in order of position. Tenant 0 has the table default; a tenant''s table of the same name goes before it.';
COMMENT ON COLUMN retry_rule.outcome IS 'Outcome of the attempt (attempt_outcome), empty: any.';
COMMENT ON COLUMN retry_rule.code IS 'SIP final response, as 486 or 5xx; empty: any, also none.';
COMMENT ON COLUMN retry_rule.cause IS 'Q.850 cause of the Reason header; null: any, also none.';
COMMENT ON COLUMN retry_rule.verdict IS 'What was heard, a reason of callcore.ears_verdict.HangupReason as not_existing, busy, voicemail, or machine; empty: any, also none.';
COMMENT ON COLUMN retry_rule.max_attempts IS 'After so many attempts of the lead that this rule fitted the lead is finished; null: as many as the campaign allows.';
COMMENT ON COLUMN retry_rule.charged IS 'The attempt counts for the lead; false: it was our own failure.';
COMMENT ON COLUMN retry_rule.growth IS 'Each further time that the rule fits a lead the delay is multiplied by this, up to longest_seconds.';
COMMENT ON COLUMN retry_rule.first IS 'The next try goes before leads of every priority.';
COMMENT ON COLUMN retry_rule.hours IS 'The next try falls into these weekly hours where the person is, as "mon-fri 18:00-21:00"; empty: any of the campaign.';

CREATE TABLE campaign (
    tenant_id             integer NOT NULL CONSTRAINT campaign_tenant_fkey REFERENCES tenant,
    campaign_id           integer GENERATED ALWAYS AS IDENTITY CONSTRAINT campaign_id_key UNIQUE,
    name                  text NOT NULL CONSTRAINT campaign_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    mode                  campaign_mode NOT NULL,
    state                 campaign_state NOT NULL DEFAULT 'stopped',
    state_at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    state_by              text NOT NULL DEFAULT '',
    queue_id              integer,
    prompt                text NOT NULL DEFAULT '' CONSTRAINT campaign_prompt_check CHECK (prompt ~ '^([a-z0-9][a-z0-9_.-]{0,62})?$'),
    machine_prompt        text NOT NULL DEFAULT '' CONSTRAINT campaign_machine_prompt_check CHECK (machine_prompt ~ '^([a-z0-9][a-z0-9_.-]{0,62})?$'),
    abandon_prompt        text NOT NULL DEFAULT '' CONSTRAINT campaign_abandon_prompt_check CHECK (abandon_prompt ~ '^([a-z0-9][a-z0-9_.-]{0,62})?$'),
    language              text NOT NULL DEFAULT 'ru' CONSTRAINT campaign_language_check CHECK (language ~ '^[a-z]{2,3}$'),
    keys                  jsonb NOT NULL DEFAULT '{}' CONSTRAINT campaign_keys_check CHECK (jsonb_typeof(keys) = 'object'),
    priority              integer NOT NULL DEFAULT 0 CONSTRAINT campaign_priority_check CHECK (priority BETWEEN -1000 AND 1000),
    weight                integer NOT NULL DEFAULT 100 CONSTRAINT campaign_weight_check CHECK (weight BETWEEN 1 AND 10000),
    lines                 integer NOT NULL DEFAULT 10 CONSTRAINT campaign_lines_check CHECK (lines BETWEEN 1 AND 10000),
    calls_per_second      numeric(7,3) NOT NULL DEFAULT 5
                          CONSTRAINT campaign_calls_per_second_check CHECK (calls_per_second > 0 AND calls_per_second <= 1000),
    hours                 text NOT NULL DEFAULT 'mon-sun 09:00-21:00',
    holidays              date[] NOT NULL DEFAULT '{}',
    on_holidays           text NOT NULL DEFAULT 'closed' CONSTRAINT campaign_on_holidays_check CHECK (on_holidays IN ('closed', 'open', 'ignore')),
    unknown_zones         text[] NOT NULL DEFAULT '{}',
    retry_table           text NOT NULL DEFAULT 'default' CONSTRAINT campaign_retry_table_check CHECK (retry_table ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    max_attempts          integer NOT NULL DEFAULT 10 CONSTRAINT campaign_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    ring_seconds          integer NOT NULL DEFAULT 30 CONSTRAINT campaign_ring_check CHECK (ring_seconds BETWEEN 5 AND 300),
    agent_ring_seconds    integer NOT NULL DEFAULT 5 CONSTRAINT campaign_agent_ring_check CHECK (agent_ring_seconds BETWEEN 1 AND 120),
    reading_seconds       integer NOT NULL DEFAULT 5 CONSTRAINT campaign_reading_check CHECK (reading_seconds BETWEEN 0 AND 3600),
    wrapup_seconds        integer CONSTRAINT campaign_wrapup_check CHECK (wrapup_seconds BETWEEN 0 AND 3600),
    max_call_seconds      integer NOT NULL DEFAULT 3600 CONSTRAINT campaign_max_call_check CHECK (max_call_seconds BETWEEN 5 AND 86400),
    load_limit            numeric(6,2) CONSTRAINT campaign_load_limit_check CHECK (load_limit > 0),
    load_resume           numeric(6,2),
    gateway               text NOT NULL DEFAULT '',
    purpose               text NOT NULL DEFAULT '' CONSTRAINT campaign_purpose_check CHECK (purpose !~ '^ | $|[[:cntrl:]]' AND length(purpose) <= 200),
    contract              text NOT NULL DEFAULT '' CONSTRAINT campaign_contract_check CHECK (contract !~ '^ | $|[[:cntrl:]]' AND length(contract) <= 200),
    consent_required      boolean NOT NULL DEFAULT true,
    consent_exemption     text NOT NULL DEFAULT ''
                          CONSTRAINT campaign_exemption_text_check CHECK (consent_exemption !~ '^ | $|[[:cntrl:]]' AND length(consent_exemption) <= 200),
    abandon_cap_percent   numeric(5,2) NOT NULL DEFAULT 3
                          CONSTRAINT campaign_abandon_cap_check CHECK (abandon_cap_percent >= 0 AND abandon_cap_percent < 100),
    abandon_seconds       integer NOT NULL DEFAULT 2 CONSTRAINT campaign_abandon_seconds_check CHECK (abandon_seconds BETWEEN 0 AND 60),
    pacing                jsonb NOT NULL DEFAULT '{}' CONSTRAINT campaign_pacing_check CHECK (jsonb_typeof(pacing) = 'object'),
    detect_machines       boolean NOT NULL DEFAULT true,
    machine_action        text NOT NULL DEFAULT 'hangup' CONSTRAINT campaign_machine_action_check CHECK (machine_action IN ('hangup', 'message')),
    record                boolean NOT NULL DEFAULT false,
    keep_running          boolean NOT NULL DEFAULT false,
    note                  text NOT NULL DEFAULT '' CONSTRAINT campaign_note_check CHECK (length(note) <= 1000),
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    preview_seconds       integer NOT NULL DEFAULT 30 CONSTRAINT campaign_preview_seconds_check CHECK (preview_seconds BETWEEN 1 AND 3600),
    preview_action        text NOT NULL DEFAULT 'skip' CONSTRAINT campaign_preview_action_check CHECK (preview_action IN ('skip', 'dial')),
    preview_again_seconds integer NOT NULL DEFAULT 3600 CONSTRAINT campaign_preview_again_check CHECK (preview_again_seconds BETWEEN 0 AND 2592000),
    CONSTRAINT campaign_pkey PRIMARY KEY (tenant_id, campaign_id),
    CONSTRAINT campaign_name_key UNIQUE (tenant_id, name),
    CONSTRAINT campaign_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue,
    CONSTRAINT campaign_agents_check CHECK (mode = 'broadcast' OR queue_id IS NOT NULL),
    CONSTRAINT campaign_audio_check CHECK (mode <> 'broadcast' OR prompt <> ''),
    CONSTRAINT campaign_consent_check CHECK (consent_required = (consent_exemption = '')),
    CONSTRAINT campaign_load_check CHECK ((load_limit IS NULL AND load_resume IS NULL) OR (load_resume > 0 AND load_resume <= load_limit))
);
COMMENT ON TABLE campaign IS 'A dialling job of a tenant. Every rule may change while it runs; the next call obeys.';
COMMENT ON COLUMN campaign.queue_id IS 'Agents of the modes with agents; where a pressed key leads unless it names another queue.';
COMMENT ON COLUMN campaign.prompt IS 'Broadcast: what who answers hears.';
COMMENT ON COLUMN campaign.machine_prompt IS 'What is left on a voice mail when machine_action is message.';
COMMENT ON COLUMN campaign.abandon_prompt IS 'What a person hears who answered and for whom no agent is free.';
COMMENT ON COLUMN campaign.keys IS 'Key to action: {"1": {"action": "repeat"}, "2": {"action": "queue", "queue": "sales"}, "3": {"action": "callback"}, "9": {"action": "opt_out", "prompt": "goodbye"}}.';
COMMENT ON COLUMN campaign.priority IS 'The higher goes first; campaigns of one priority share by weight.';
COMMENT ON COLUMN campaign.lines IS 'Most calls at once.';
COMMENT ON COLUMN campaign.hours IS 'Weekly hours in the time zone of who is called; all of his possible zones must be open.';
COMMENT ON COLUMN campaign.unknown_zones IS 'Zones in which the hours must be open for a number whose zone nobody knows; empty: such a number is not dialled.';
COMMENT ON COLUMN campaign.max_attempts IS 'Charged attempts for one lead, over all of its numbers.';
COMMENT ON COLUMN campaign.wrapup_seconds IS 'Null: that of the queue.';
COMMENT ON COLUMN campaign.load_limit IS 'Load average of one minute per core at which the campaign waits, until it is below load_resume.';
COMMENT ON COLUMN campaign.gateway IS 'Gateway or group that is tried first among those of the route; empty: as routes say. A lead may name another.';
COMMENT ON COLUMN campaign.purpose IS 'Why people are called, as the contract with the operator states; travels with the call.';
COMMENT ON COLUMN campaign.contract IS 'Number or label of that contract.';
COMMENT ON COLUMN campaign.consent_required IS 'A lead without a basis of consent is not dialled; an exempt campaign says why in consent_exemption.';
COMMENT ON COLUMN campaign.abandon_cap_percent IS 'Abandoned answers of 100 that are never exceeded.';
COMMENT ON COLUMN campaign.abandon_seconds IS 'An answer is abandoned when no agent has it after so long.';
COMMENT ON COLUMN campaign.pacing IS 'Further settings of callcore.pacing.PacingSettings.';
COMMENT ON COLUMN campaign.detect_machines IS 'What is heard after the answer counts, too; before the answer it counts for every attempt.';
COMMENT ON COLUMN campaign.preview_seconds IS 'Preview: how long an agent may look at a lead before preview_action is done.';
COMMENT ON COLUMN campaign.preview_action IS 'What happens when the agent says nothing in that time: skip or dial.';
COMMENT ON COLUMN campaign.preview_again_seconds IS 'Who skipped a lead is not offered it again for so long.';
COMMENT ON COLUMN campaign.keep_running IS 'Does not finish when no lead is left: further ones are added while it runs.';
CREATE INDEX campaign_queue_idx ON campaign (tenant_id, queue_id);
COMMENT ON INDEX campaign_queue_idx IS 'Campaigns of a queue (queue rm).';
CREATE INDEX campaign_running_idx ON campaign (campaign_id) WHERE state = 'running';
COMMENT ON INDEX campaign_running_idx IS 'What the engine works on.';

CREATE TABLE campaign_list (
    tenant_id    integer NOT NULL,
    list_id      integer GENERATED ALWAYS AS IDENTITY,
    campaign_id  integer NOT NULL,
    name         text NOT NULL CONSTRAINT campaign_list_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    source       text NOT NULL DEFAULT '',
    mapping      jsonb NOT NULL DEFAULT '{}' CONSTRAINT campaign_list_mapping_check CHECK (jsonb_typeof(mapping) = 'object'),
    imported_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT campaign_list_pkey PRIMARY KEY (tenant_id, list_id),
    CONSTRAINT campaign_list_name_key UNIQUE (tenant_id, campaign_id, name),
    CONSTRAINT campaign_list_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE
);
COMMENT ON TABLE campaign_list IS 'Lists of a campaign: where its leads came from. A list belongs to one campaign.';
COMMENT ON COLUMN campaign_list.source IS 'Name of the file that was imported last.';
COMMENT ON COLUMN campaign_list.mapping IS 'Heading of a column to what it means, as the last import had it; the next one takes it over.';

CREATE TABLE campaign_caller_id (
    tenant_id    integer NOT NULL,
    campaign_id  integer NOT NULL,
    number       text NOT NULL CONSTRAINT campaign_caller_id_number_check CHECK (number ~ '^[+]?[0-9]{1,20}$'),
    region       text NOT NULL DEFAULT '' CONSTRAINT campaign_caller_id_region_check CHECK (region !~ '^ | $|[[:cntrl:]]'),
    daily_cap    integer CONSTRAINT campaign_caller_id_cap_check CHECK (daily_cap >= 1),
    CONSTRAINT campaign_caller_id_pkey PRIMARY KEY (tenant_id, campaign_id, number, region),
    CONSTRAINT campaign_caller_id_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE
);
COMMENT ON TABLE campaign_caller_id IS 'Pool of caller ids; those of the destination''s region go before those of none. Empty pool: as routes say.';
COMMENT ON COLUMN campaign_caller_id.daily_cap IS 'Calls a day in the time zone of the tenant, over all of its campaigns; null: any number.';

CREATE TABLE caller_id_use (
    tenant_id  integer NOT NULL CONSTRAINT caller_id_use_tenant_fkey REFERENCES tenant,
    day        date NOT NULL,
    number     text NOT NULL,
    calls      integer NOT NULL DEFAULT 0 CONSTRAINT caller_id_use_calls_check CHECK (calls >= 0),
    CONSTRAINT caller_id_use_pkey PRIMARY KEY (tenant_id, day, number)
);
COMMENT ON TABLE caller_id_use IS 'Calls that a tenant''s campaigns made with each caller id on a day of the tenant''s time zone.';

CREATE TABLE campaign_admission (
    tenant_id          integer NOT NULL,
    campaign_id        integer NOT NULL,
    priority           lead_priority NOT NULL,
    max_queue_percent  integer NOT NULL CONSTRAINT campaign_admission_percent_check CHECK (max_queue_percent BETWEEN 0 AND 1000),
    min_free_agents    integer NOT NULL CONSTRAINT campaign_admission_free_check CHECK (min_free_agents BETWEEN 0 AND 10000),
    preempts           boolean NOT NULL DEFAULT false,
    CONSTRAINT campaign_admission_pkey PRIMARY KEY (tenant_id, campaign_id, priority),
    CONSTRAINT campaign_admission_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE
);
COMMENT ON TABLE campaign_admission IS 'When leads of a priority may take an agent: the queue''s load is at most so much and so many agents are free.';
COMMENT ON COLUMN campaign_admission.max_queue_percent IS 'Busy agents and waiting callers for each hundred agents at work.';
COMMENT ON COLUMN campaign_admission.preempts IS 'Goes ahead of callers who wait.';

CREATE TABLE campaign_hold (
    tenant_id    integer NOT NULL,
    campaign_id  integer NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    reason       dial_reason NOT NULL,
    detail       text NOT NULL DEFAULT '',
    CONSTRAINT campaign_hold_pkey PRIMARY KEY (tenant_id, campaign_id, since),
    CONSTRAINT campaign_hold_campaign_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign ON DELETE CASCADE,
    CONSTRAINT campaign_hold_order_check CHECK (since <= until)
);
COMMENT ON TABLE campaign_hold IS 'Which constraint kept a campaign from dialling (more), second by second; seconds of one reason in a row are one row. Written by campaign_note.';
CREATE INDEX campaign_hold_until_idx ON campaign_hold (until);
COMMENT ON INDEX campaign_hold_until_idx IS 'What is old and can go.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION campaign_next(state campaign_state, step text) RETURNS campaign_state LANGUAGE sql IMMUTABLE AS $$
-- callcore.dial.CAMPAIGN_TRANSITIONS as SQL; null: not allowed.
SELECT CASE
    WHEN step = 'start' AND state IN ('stopped', 'paused', 'finished') THEN 'running'
    WHEN step = 'pause' AND state = 'running' THEN 'paused'
    WHEN step = 'stop' AND state IN ('running', 'paused') THEN 'stopped'
    WHEN step = 'finish' AND state = 'running' THEN 'finished'
END::campaign_state
$$;
COMMENT ON FUNCTION campaign_next(campaign_state, text) IS 'The state after a step; null if the state does not allow it.';

CREATE FUNCTION campaign_step(tenant integer, campaign integer, step text, by text) RETURNS campaign_state LANGUAGE plpgsql AS $$
-- Precondition: the state allows the step; else null and nothing happens. The row lock orders it with dial_claim.
DECLARE
    after campaign_state;
BEGIN
    UPDATE campaign c
    SET state = campaign_next(c.state, step), state_at = clock_timestamp(), state_by = by
    WHERE c.tenant_id = tenant AND c.campaign_id = campaign AND campaign_next(c.state, step) IS NOT NULL
    RETURNING c.state INTO after;
    IF FOUND THEN
        PERFORM pg_notify('kalibri_dial', campaign::text);
    END IF;
    RETURN after;
END $$;
COMMENT ON FUNCTION campaign_step(integer, integer, text, text) IS 'start, pause, stop, finish; the new state, or null if the state does not allow it. Notifies kalibri_dial.';

CREATE FUNCTION campaign_note(tenant integer, campaign integer, at timestamptz, why dial_reason, what text DEFAULT '') RETURNS void LANGUAGE sql AS $$
-- Called each second for each campaign that the engine looks at; a gap of more than 3 s begins a new row, so that
-- time in which no engine ran is told by nobody.
WITH last AS (
    SELECT since, until, reason, detail FROM campaign_hold
    WHERE tenant_id = tenant AND campaign_id = campaign
    ORDER BY since DESC LIMIT 1
), longer AS (
    UPDATE campaign_hold h SET until = greatest(h.until, at)
    FROM last
    WHERE h.tenant_id = tenant AND h.campaign_id = campaign AND h.since = last.since
      AND last.reason = why AND last.detail = what AND at <= last.until + interval '3 seconds'
    RETURNING 1
)
INSERT INTO campaign_hold (tenant_id, campaign_id, since, until, reason, detail)
SELECT tenant, campaign, at, at, why, what WHERE NOT EXISTS (SELECT FROM longer)
ON CONFLICT (tenant_id, campaign_id, since) DO UPDATE SET reason = excluded.reason, detail = excluded.detail
$$;
COMMENT ON FUNCTION campaign_note(integer, integer, timestamptz, dial_reason, text) IS 'Notes which constraint binds a campaign in this second.';

CREATE FUNCTION tenant_day(tenant integer) RETURNS date LANGUAGE sql STABLE AS $$
SELECT (clock_timestamp() AT TIME ZONE t.time_zone)::date FROM tenant t WHERE t.tenant_id = tenant
$$;
COMMENT ON FUNCTION tenant_day(integer) IS 'Today, in the time zone of the tenant.';

CREATE FUNCTION caller_id_take(tenant integer, caller_number text, cap integer) RETURNS boolean LANGUAGE plpgsql AS $$
-- In the transaction that makes the attempt, so that a rolled-back attempt costs nothing.
BEGIN
    INSERT INTO caller_id_use AS u (tenant_id, day, number, calls)
    VALUES (tenant, tenant_day(tenant), caller_number, 1)
    ON CONFLICT (tenant_id, day, number) DO UPDATE SET calls = u.calls + 1 WHERE cap IS NULL OR u.calls < cap;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION caller_id_take(integer, text, integer) IS 'Counts a call of today for a caller id; false: it has made as many as the cap allows.';

CREATE FUNCTION caller_id_give_back(tenant integer, caller_number text, at timestamptz) RETURNS void LANGUAGE sql AS $$
UPDATE caller_id_use SET calls = calls - 1
WHERE tenant_id = tenant AND number = caller_number AND calls > 0
  AND day = (SELECT (at AT TIME ZONE t.time_zone)::date FROM tenant t WHERE t.tenant_id = tenant)
$$;
COMMENT ON FUNCTION caller_id_give_back(integer, text, timestamptz) IS 'A call that was counted for a caller id at that time has never been made.';

CREATE FUNCTION campaign_defaults() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_admission (tenant_id, campaign_id, priority, max_queue_percent, min_free_agents, preempts)
    VALUES (NEW.tenant_id, NEW.campaign_id, 'low', 0, 1, false), (NEW.tenant_id, NEW.campaign_id, 'medium', 70, 1, false),
           (NEW.tenant_id, NEW.campaign_id, 'high', 99, 1, false), (NEW.tenant_id, NEW.campaign_id, 'urgent', 1000, 0, true);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION campaign_defaults() IS 'Row trigger: a new campaign gets the usual admission of its leads.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER campaign_defaults AFTER INSERT ON campaign FOR EACH ROW EXECUTE FUNCTION campaign_defaults();

-- ------------------------------------------------------------------------------------------ first rows

INSERT INTO retry_rule (tenant_id, table_name, position, outcome, code, cause, verdict, action, delay_seconds, max_attempts,
                        charged, growth, longest_seconds, first, note) VALUES
    (0, 'default', 10, 'opted_out', '', NULL, '', 'do_not_call', 0, NULL, true, 1, 86400, false, 'asked not to be called again'),
    (0, 'default', 20, 'answered', '', NULL, '', 'stop', 0, NULL, true, 1, 86400, false, 'spoke with an agent or heard the message'),
    (0, 'default', 30, 'unheard', '', NULL, '', 'retry', 7200, 2, true, 1, 86400, false, 'hung up before enough was heard'),
    (0, 'default', 40, 'abandoned', '', NULL, '', 'retry', 600, NULL, false, 1, 86400, true, 'answered and found no agent'),
    (0, 'default', 49, 'skipped', '', NULL, '', 'retry', 300, NULL, false, 1, 86400, false, 'an agent looked at it and did not want to call'),
    (0, 'default', 50, 'no_agent', '', NULL, '', 'retry', 0, NULL, false, 1, 86400, true, 'the agent was lost before the person was reached'),
    (0, 'default', 51, 'untaken', '', NULL, '', 'retry', 1, NULL, false, 2, 60, false, 'no media host took the order'),
    (0, 'default', 52, 'refused', '', NULL, '', 'retry', 300, NULL, false, 2, 3600, false, 'not dialled: hours, or the campaign was stopped'),
    (0, 'default', 53, 'lost', '', NULL, '', 'retry', 300, NULL, false, 2, 3600, false, 'a media host died; it may have rung'),
    (0, 'default', 54, 'ours', '', NULL, '', 'retry', 60, NULL, false, 2, 3600, false, 'a fault of ours'),
    (0, 'default', 60, '', '', NULL, 'not_existing', 'drop_number', 0, NULL, true, 1, 86400, false, 'a message says that there is no such number'),
    (0, 'default', 61, '', '', NULL, 'changed', 'drop_number', 0, NULL, true, 1, 86400, false, 'a message says that the number has changed'),
    (0, 'default', 62, '', '', NULL, 'fax', 'drop_number', 0, NULL, true, 1, 86400, false, 'a fax machine'),
    (0, 'default', 63, '', '', NULL, 'barred', 'next_number', 86400, 2, true, 1, 86400, false, 'takes no such calls'),
    (0, 'default', 64, '', '', NULL, 'unreachable', 'next_number', 7200, 4, true, 1, 86400, false, 'switched off or out of reach'),
    (0, 'default', 65, '', '', NULL, 'voicemail', 'next_number', 14400, 3, true, 1, 86400, false, 'voice mail'),
    (0, 'default', 66, '', '', NULL, 'machine', 'next_number', 14400, 3, true, 1, 86400, false, 'a machine'),
    (0, 'default', 67, '', '', NULL, 'busy', 'retry', 900, 5, true, 1, 86400, false, 'busy tone or message'),
    (0, 'default', 68, '', '', NULL, 'congestion', 'retry', 60, NULL, false, 2, 3600, false, 'no way through the network'),
    (0, 'default', 70, '', '603', NULL, '', 'stop', 0, NULL, true, 1, 86400, false, 'declined'),
    (0, 'default', 71, '', '607', NULL, '', 'do_not_call', 0, NULL, true, 1, 86400, false, 'unwanted (RFC 8197)'),
    (0, 'default', 72, '', '404', NULL, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'no such number'),
    (0, 'default', 73, '', '410', NULL, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'gone'),
    (0, 'default', 74, '', '484', NULL, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'address incomplete'),
    (0, 'default', 75, '', '604', NULL, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'exists nowhere'),
    (0, 'default', 80, '', '', 1, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'unallocated number'),
    (0, 'default', 81, '', '', 21, '', 'stop', 0, NULL, true, 1, 86400, false, 'call rejected'),
    (0, 'default', 82, '', '', 28, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'invalid number format'),
    (0, 'default', 83, '', '', 34, '', 'retry', 60, NULL, false, 2, 3600, false, 'no circuit'),
    (0, 'default', 90, 'busy', '', NULL, '', 'retry', 900, 5, true, 1, 86400, false, '486, 600, cause 17'),
    (0, 'default', 91, 'no_answer', '', NULL, '', 'next_number', 7200, 4, true, 1, 86400, false, '408, 480, 487: rang out'),
    (0, 'default', 92, 'declined', '', NULL, '', 'stop', 0, NULL, true, 1, 86400, false, 'declined'),
    (0, 'default', 93, 'invalid', '', NULL, '', 'drop_number', 0, NULL, true, 1, 86400, false, 'no such number'),
    (0, 'default', 94, 'machine', '', NULL, '', 'next_number', 14400, 3, true, 1, 86400, false, 'a machine'),
    (0, 'default', 95, 'congested', '', NULL, '', 'retry', 60, NULL, false, 2, 3600, false, 'a carrier could not complete the call'),
    (0, 'default', 100, '', '5xx', NULL, '', 'retry', 60, NULL, false, 2, 3600, false, 'the gateway failed'),
    (0, 'default', 110, '', '', NULL, '', 'next_number', 14400, 3, true, 1, 86400, false, 'anything else');

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL audit_changes_of('campaign', '{}', '{state_at}', '');
CALL audit_changes_of('campaign_list', '{}', '{imported_at}', '');
CALL audit_changes_of('campaign_caller_id', '{}', '{}', '');
CALL audit_changes_of('campaign_admission', '{}', '{}', '');
CALL audit_changes_of('retry_rule', '{}', '{}', '');
CALL protect_tenant_rows('campaign');
CALL protect_tenant_rows('campaign_list');
CALL protect_tenant_rows('campaign_caller_id');
CALL protect_tenant_rows('caller_id_use');
CALL protect_tenant_rows('campaign_admission');
CALL protect_tenant_rows('campaign_hold');
CALL protect_tenant_rows('retry_rule', shared => true);
