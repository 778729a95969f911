-- Reports: facts of calls, queue entries, attempts and agent states, built from what is journalled (call, acd_event), and their
-- sums by quarter of an hour. ks-worker adds what is new (71_report_fold.sql); all of it can be built again, with the same result.
-- Facts go with the calls of their tenant (retention); sums name no caller and are kept longer.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE report_every AS ENUM (
    'day',   -- each morning, about the day before
    'week',  -- on Mondays, about the week before
    'month'  -- on the first of a month, about the month before
);

-- ---------------------------------------------------------------------------------------------- facts

CREATE TABLE report_progress (
    tenant_id  integer NOT NULL,
    source     text NOT NULL CONSTRAINT report_progress_source_check CHECK (source IN ('acd', 'call')),
    seq        bigint NOT NULL DEFAULT 0,
    at         timestamptz,
    built_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT report_progress_pkey PRIMARY KEY (tenant_id, source)
);
COMMENT ON TABLE report_progress IS 'How far facts are built: queue events of a tenant by their seq; calls of all tenants (tenant 0) by the time of their last change.';
COMMENT ON COLUMN report_progress.at IS 'Of calls: the changes up to this moment are in; of queue events: the newest time among them.';

CREATE TABLE report_entry (
    tenant_id      integer NOT NULL,
    entry_id       bigint NOT NULL,
    first_seq      bigint NOT NULL,
    last_seq       bigint NOT NULL,
    queue_id       integer NOT NULL,
    kind           entry_kind NOT NULL,
    call_id        uuid,
    caller         text NOT NULL,
    since          timestamptz NOT NULL,
    entered_at     timestamptz NOT NULL,
    level_seconds  integer NOT NULL,
    short_seconds  integer NOT NULL,
    offers         integer NOT NULL DEFAULT 0,
    answered_at    timestamptz,
    agent_id       integer,
    talk_ms        bigint NOT NULL DEFAULT 0,
    hold_ms        bigint NOT NULL DEFAULT 0,
    wrapup_ms      bigint NOT NULL DEFAULT 0,
    dials          integer NOT NULL DEFAULT 0,
    dialled_at     timestamptz,
    reached_at     timestamptz,
    left_at        timestamptz,
    end_reason     text,
    ended_by       text NOT NULL DEFAULT '',
    hung_up_by     text,
    moved_to       integer,
    survey         smallint,
    CONSTRAINT report_entry_pkey PRIMARY KEY (tenant_id, entry_id, first_seq)
);
COMMENT ON TABLE report_entry IS 'One stay of a caller or a callback in one queue: a move or a callback request ends it and begins the next one.';
COMMENT ON COLUMN report_entry.first_seq IS 'The event (acd_event.seq) with which it began; last_seq: the last event that is in.';
COMMENT ON COLUMN report_entry.entered_at IS 'When this queue got it: the wait of the report begins here, and this quarter of an hour counts it.';
COMMENT ON COLUMN report_entry.level_seconds IS 'Service level target of the queue at that time; short_seconds: an abandoned wait below it is short.';
COMMENT ON COLUMN report_entry.talk_ms IS 'Without hold.';
COMMENT ON COLUMN report_entry.end_reason IS 'A value of entry_end, or "moved"; null: not over yet.';
CREATE INDEX report_entry_queue_idx ON report_entry (tenant_id, queue_id, entered_at);
COMMENT ON INDEX report_entry_queue_idx IS 'What came to a queue in a time.';
CREATE INDEX report_entry_time_idx ON report_entry (tenant_id, entered_at);
COMMENT ON INDEX report_entry_time_idx IS 'What came to the queues of a tenant in a time; what is past its period.';
CREATE INDEX report_entry_caller_idx ON report_entry (tenant_id, caller, entered_at);
COMMENT ON INDEX report_entry_caller_idx IS 'Did a caller come again, and when was he here before?';

CREATE TABLE report_attempt (
    tenant_id    integer NOT NULL,
    offer_id     bigint NOT NULL,
    last_seq     bigint NOT NULL,
    entry_id     bigint NOT NULL,
    entry_seq    bigint,
    queue_id     integer NOT NULL,
    agent_id     integer NOT NULL,
    call_id      uuid,
    caller       text NOT NULL DEFAULT '',
    made_at      timestamptz NOT NULL,
    strategy     text NOT NULL DEFAULT '',
    forced       boolean NOT NULL DEFAULT false,
    waited_ms    bigint NOT NULL DEFAULT 0,
    answered_at  timestamptz,
    joined_at    timestamptz,
    ended_at     timestamptz,
    outcome      offer_outcome,
    code         integer,
    cause        text NOT NULL DEFAULT '',
    hung_up_by   text NOT NULL DEFAULT '',
    ring_ms      bigint NOT NULL DEFAULT 0,
    talk_ms      bigint NOT NULL DEFAULT 0,
    hold_ms      bigint NOT NULL DEFAULT 0,
    wrapup_ms    bigint NOT NULL DEFAULT 0,
    CONSTRAINT report_attempt_pkey PRIMARY KEY (tenant_id, offer_id)
);
COMMENT ON TABLE report_attempt IS 'One ringing of one agent for one caller: an offer of the queues.';
COMMENT ON COLUMN report_attempt.entry_seq IS 'first_seq of the stay (report_entry) to which it belongs.';
CREATE INDEX report_attempt_time_idx ON report_attempt (tenant_id, made_at);
COMMENT ON INDEX report_attempt_time_idx IS 'Attempts of a time.';
CREATE INDEX report_attempt_agent_idx ON report_attempt (tenant_id, agent_id, made_at);
COMMENT ON INDEX report_attempt_agent_idx IS 'Attempts at an agent in a time.';
CREATE INDEX report_attempt_entry_idx ON report_attempt (tenant_id, entry_id);
COMMENT ON INDEX report_attempt_entry_idx IS 'Attempts of a stay.';

CREATE TABLE report_agent_state (
    tenant_id   integer NOT NULL,
    agent_id    integer NOT NULL,
    seq         bigint NOT NULL,
    state       agent_state NOT NULL,
    reason      text NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    offer_id    bigint,
    by          text NOT NULL DEFAULT '',
    CONSTRAINT report_agent_state_pkey PRIMARY KEY (tenant_id, agent_id, seq)
);
COMMENT ON TABLE report_agent_state IS 'Times that agents spent in their states, one after the other without gap; ended_at null: he still is in it.';
COMMENT ON COLUMN report_agent_state.seq IS 'The event (acd_event.seq) with which it began; 0: it was there before the first event.';
COMMENT ON COLUMN report_agent_state.offer_id IS 'The offer that made him reserved, ringing or busy, or whose after-call work it is.';
CREATE INDEX report_agent_state_time_idx ON report_agent_state (tenant_id, started_at);
COMMENT ON INDEX report_agent_state_time_idx IS 'What began in a time; what is past its period.';
CREATE INDEX report_agent_state_agent_idx ON report_agent_state (tenant_id, agent_id, started_at);
COMMENT ON INDEX report_agent_state_agent_idx IS 'In which state was an agent at a time?';
CREATE UNIQUE INDEX report_agent_state_open_key ON report_agent_state (tenant_id, agent_id) WHERE ended_at IS NULL;
COMMENT ON INDEX report_agent_state_open_key IS 'An agent is in one state.';

CREATE TABLE report_call (
    tenant_id       integer NOT NULL,
    call_id         uuid NOT NULL,
    started_at      timestamptz NOT NULL,
    direction       text NOT NULL,
    account         text NOT NULL,
    gateway_in_id   integer,
    gateway_out_id  integer,
    region          text NOT NULL,
    emergency       boolean NOT NULL,
    attempts        integer NOT NULL,
    answered        boolean NOT NULL,
    ended           boolean NOT NULL,
    setup_ms        bigint NOT NULL,
    ring_ms         bigint NOT NULL,
    talk_ms         bigint NOT NULL,
    final_code      integer,
    cause           text NOT NULL,
    hung_up_by      text NOT NULL,
    CONSTRAINT report_call_pkey PRIMARY KEY (tenant_id, call_id)
);
COMMENT ON TABLE report_call IS 'One call: what reports need of its CDR. Calls of no tenant are those of tenant 0.';
COMMENT ON COLUMN report_call.setup_ms IS 'From the INVITE to the answer; 0: not answered.';
CREATE INDEX report_call_time_idx ON report_call (tenant_id, started_at);
COMMENT ON INDEX report_call_time_idx IS 'Calls of a time.';

CREATE TABLE report_gateway_call (
    tenant_id   integer NOT NULL,
    call_id     uuid NOT NULL,
    n           integer NOT NULL,
    gateway_id  integer NOT NULL,
    at          timestamptz NOT NULL,
    inbound     boolean NOT NULL,
    answered    boolean NOT NULL,
    failover    boolean NOT NULL,
    code        integer,
    ring_delay_ms bigint,
    talk_ms     bigint NOT NULL,
    CONSTRAINT report_gateway_call_pkey PRIMARY KEY (tenant_id, call_id, n)
);
COMMENT ON TABLE report_gateway_call IS 'One use of a gateway: the call that came from it (n = 0), or the n-th attempt to reach somebody through it.';
COMMENT ON COLUMN report_gateway_call.ring_delay_ms IS 'From the INVITE to the first 180 or 183; null: there was none.';
CREATE INDEX report_gateway_call_time_idx ON report_gateway_call (tenant_id, gateway_id, at);
COMMENT ON INDEX report_gateway_call_time_idx IS 'Uses of a gateway in a time.';

-- ------------------------------------------------------------------------------- sums by quarter of an hour

CREATE TABLE report_queue_slot (
    tenant_id          integer NOT NULL,
    queue_id           integer NOT NULL,
    slot               timestamptz NOT NULL,
    offered            integer NOT NULL,
    answered           integer NOT NULL,
    answered_in_time   integer NOT NULL,
    abandoned          integer NOT NULL,
    abandoned_short    integer NOT NULL,
    abandoned_in_time  integer NOT NULL,
    left_timeout       integer NOT NULL,
    left_full          integer NOT NULL,
    left_empty         integer NOT NULL,
    left_closed        integer NOT NULL,
    left_exit_key      integer NOT NULL,
    left_ejected       integer NOT NULL,
    left_callback      integer NOT NULL,
    left_moved         integer NOT NULL,
    failed             integer NOT NULL,
    wait_answered_ms   bigint NOT NULL,
    wait_abandoned_ms  bigint NOT NULL,
    wait_left_ms       bigint NOT NULL,
    longest_wait_ms    bigint NOT NULL,
    talk_ms            bigint NOT NULL,
    longest_talk_ms    bigint NOT NULL,
    hold_ms            bigint NOT NULL,
    wrapup_ms          bigint NOT NULL,
    hung_up_agent      integer NOT NULL,
    hung_up_caller     integer NOT NULL,
    hung_up_system     integer NOT NULL,
    transferred        integer NOT NULL,
    surveys            integer NOT NULL,
    survey_sum         integer NOT NULL,
    offers             integer NOT NULL,
    callbacks          integer NOT NULL,
    callbacks_dialled  integer NOT NULL,
    callbacks_reached  integer NOT NULL,
    callbacks_joined   integer NOT NULL,
    callbacks_cancelled integer NOT NULL,
    callbacks_expired  integer NOT NULL,
    callbacks_failed   integer NOT NULL,
    callback_dials     integer NOT NULL,
    callback_dial_wait_ms bigint NOT NULL,
    callback_join_wait_ms bigint NOT NULL,
    callback_longest_wait_ms bigint NOT NULL,
    callback_talk_ms   bigint NOT NULL,
    CONSTRAINT report_queue_slot_pkey PRIMARY KEY (tenant_id, queue_id, slot)
);
COMMENT ON TABLE report_queue_slot IS 'A queue in a quarter of an hour: what entered it then, whenever it ended. Callbacks are counted apart.';
COMMENT ON COLUMN report_queue_slot.left_moved IS 'To another queue, by overflow or by a supervisor.';
COMMENT ON COLUMN report_queue_slot.failed IS 'Lost with a media host, or ended for another fault of ours.';
CREATE INDEX report_queue_slot_time_idx ON report_queue_slot (tenant_id, slot);
COMMENT ON INDEX report_queue_slot_time_idx IS 'All queues of a tenant in a time.';

CREATE TABLE report_agent_slot (
    tenant_id    integer NOT NULL,
    agent_id     integer NOT NULL,
    queue_id     integer NOT NULL,
    slot         timestamptz NOT NULL,
    offers       integer NOT NULL,
    answered     integer NOT NULL,
    no_answer    integer NOT NULL,
    rejected     integer NOT NULL,
    busy         integer NOT NULL,
    unreachable  integer NOT NULL,
    other        integer NOT NULL,
    ring_ms      bigint NOT NULL,
    talk_ms      bigint NOT NULL,
    longest_talk_ms bigint NOT NULL,
    hold_ms      bigint NOT NULL,
    wrapup_ms    bigint NOT NULL,
    hung_up_agent integer NOT NULL,
    CONSTRAINT report_agent_slot_pkey PRIMARY KEY (tenant_id, agent_id, queue_id, slot)
);
COMMENT ON TABLE report_agent_slot IS 'Offers to an agent for a queue that were made in a quarter of an hour, whenever they ended.';
COMMENT ON COLUMN report_agent_slot.other IS 'Offers that ended for no fault of his: the caller gone, cancelled, failed, lost.';
CREATE INDEX report_agent_slot_time_idx ON report_agent_slot (tenant_id, slot);
COMMENT ON INDEX report_agent_slot_time_idx IS 'All agents of a tenant in a time.';

CREATE TABLE report_state_slot (
    tenant_id  integer NOT NULL,
    agent_id   integer NOT NULL,
    slot       timestamptz NOT NULL,
    state      agent_state NOT NULL,
    reason     text NOT NULL,
    times      integer NOT NULL,
    ms         bigint NOT NULL,
    CONSTRAINT report_state_slot_pkey PRIMARY KEY (tenant_id, agent_id, slot, state, reason)
);
COMMENT ON TABLE report_state_slot IS 'Time of an agent in a state within a quarter of an hour, of times that are over. Nothing is said of agents that are logged out.';
COMMENT ON COLUMN report_state_slot.times IS 'How often it began in this quarter.';
CREATE INDEX report_state_slot_time_idx ON report_state_slot (tenant_id, slot);
COMMENT ON INDEX report_state_slot_time_idx IS 'All agents of a tenant in a time.';

CREATE TABLE report_call_slot (
    tenant_id        integer NOT NULL,
    slot             timestamptz NOT NULL,
    direction        text NOT NULL,
    cause            text NOT NULL,
    hung_up_by       text NOT NULL,
    calls            integer NOT NULL,
    ended            integer NOT NULL,
    answered         integer NOT NULL,
    attempts         integer NOT NULL,
    emergency        integer NOT NULL,
    setup_ms         bigint NOT NULL,
    longest_setup_ms bigint NOT NULL,
    talk_ms          bigint NOT NULL,
    longest_talk_ms  bigint NOT NULL,
    CONSTRAINT report_call_slot_pkey PRIMARY KEY (tenant_id, slot, direction, cause, hung_up_by)
);
COMMENT ON TABLE report_call_slot IS 'Calls that began in a quarter of an hour.';

CREATE TABLE report_gateway_slot (
    tenant_id        integer NOT NULL,
    gateway_id       integer NOT NULL,
    inbound          boolean NOT NULL,
    slot             timestamptz NOT NULL,
    calls            integer NOT NULL,
    answered         integer NOT NULL,
    failed_over      integer NOT NULL,
    busy             integer NOT NULL,
    refused_4xx      integer NOT NULL,
    refused_5xx      integer NOT NULL,
    refused_6xx      integer NOT NULL,
    rung             integer NOT NULL,
    ring_delay_ms    bigint NOT NULL,
    longest_ring_delay_ms bigint NOT NULL,
    talk_ms          bigint NOT NULL,
    longest_talk_ms  bigint NOT NULL,
    CONSTRAINT report_gateway_slot_pkey PRIMARY KEY (tenant_id, gateway_id, inbound, slot)
);
COMMENT ON TABLE report_gateway_slot IS 'Uses of a gateway by calls of a tenant that began in a quarter of an hour.';
COMMENT ON COLUMN report_gateway_slot.busy IS '486 and 600, which refused_4xx and refused_6xx do not count.';
CREATE INDEX report_gateway_slot_time_idx ON report_gateway_slot (tenant_id, slot);
COMMENT ON INDEX report_gateway_slot_time_idx IS 'All gateways in a time.';

CREATE INDEX call_updated_idx ON call USING brin (updated_at) WITH (pages_per_range = 32);
COMMENT ON INDEX call_updated_idx IS 'Calls that changed since facts were built; nearly free for who inserts.';

CREATE INDEX attempt_time_idx ON attempt (tenant_id, ordered_at);
COMMENT ON INDEX attempt_time_idx IS 'Dials of a time: the report of campaigns counts them themselves, they are facts already.';

-- ------------------------------------------------------------------------------------- scheduled reports

CREATE TABLE report_schedule (
    tenant_id       integer NOT NULL CONSTRAINT report_schedule_tenant_fkey REFERENCES tenant,
    schedule_id     integer GENERATED ALWAYS AS IDENTITY,
    name            text NOT NULL CONSTRAINT report_schedule_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    report          text NOT NULL,
    options         jsonb NOT NULL DEFAULT '{}' CONSTRAINT report_schedule_options_check CHECK (jsonb_typeof(options) = 'object'),
    every           report_every NOT NULL,
    at              time NOT NULL DEFAULT '06:00',
    format          text NOT NULL DEFAULT 'xlsx' CONSTRAINT report_schedule_format_check CHECK (format IN ('xlsx', 'csv', 'json')),
    recipients      text[] NOT NULL CONSTRAINT report_schedule_recipients_check CHECK (cardinality(recipients) >= 1 AND cardinality(recipients) <= 50),
    enabled         boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    sent_until      date,
    sent_at         timestamptz,
    attempts        integer NOT NULL DEFAULT 0,
    retry_at        timestamptz,
    last_error      text NOT NULL DEFAULT '',
    CONSTRAINT report_schedule_pkey PRIMARY KEY (tenant_id, schedule_id),
    CONSTRAINT report_schedule_name_key UNIQUE (tenant_id, name)
);
COMMENT ON TABLE report_schedule IS 'Reports that are sent by e-mail, each once a period, after the period has ended in the zone of the tenant.';
COMMENT ON COLUMN report_schedule.at IS 'Local time of the tenant before which it is not sent.';
COMMENT ON COLUMN report_schedule.sent_until IS 'First day that no sent report covers: the period before it is done.';

-- ------------------------------------------------------------------------------------------- access

CALL audit_changes_of('report_schedule', '{}', '{sent_until,sent_at,attempts,retry_at,last_error}', '');
CALL protect_tenant_rows('report_progress', shared => true);
CALL protect_tenant_rows('report_entry');
CALL protect_tenant_rows('report_attempt');
CALL protect_tenant_rows('report_agent_state');
CALL protect_tenant_rows('report_call');
CALL protect_tenant_rows('report_gateway_call');
CALL protect_tenant_rows('report_queue_slot');
CALL protect_tenant_rows('report_agent_slot');
CALL protect_tenant_rows('report_state_slot');
CALL protect_tenant_rows('report_call_slot');
CALL protect_tenant_rows('report_gateway_slot');
CALL protect_tenant_rows('report_schedule');
REVOKE INSERT, UPDATE, DELETE ON report_progress, report_entry, report_attempt, report_agent_state, report_call, report_gateway_call,
    report_queue_slot, report_agent_slot, report_state_slot, report_call_slot, report_gateway_slot FROM kalibri_api;
