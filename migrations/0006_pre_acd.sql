-- Call distribution: configuration of agents and queues, and their live state (docs/acd.md).

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE agent_state AS ENUM (
    'offline',   -- not logged in, or the phone is not registered
    'free',      -- gets calls, unless a penalty delay still runs
    'reserved',  -- chosen for a caller; the phone is not being called yet
    'ringing',   -- the phone is being called
    'busy',      -- in a queue call, or in any other dialog of the account
    'wrapup',    -- work after a call, until the deadline
    'paused'     -- with a reason
);

CREATE TYPE entry_kind AS ENUM (
    'call',     -- a caller waits on the line
    'callback'  -- a person is to be called when it is his turn
);

CREATE TYPE entry_state AS ENUM (
    'arriving',  -- a proxy is bringing the call to a media host; keeps its place, is not matched
    'waiting',   -- can be matched with an agent
    'offered',   -- at least one offer is open
    'talking',   -- joined with an agent
    'lost',      -- the host is gone with the call; the place is kept for the grace time
    'ended'      -- over, see end_reason
);

CREATE TYPE entry_end AS ENUM (
    'served',       -- talked with an agent
    'abandoned',    -- the caller hung up while waiting
    'timeout',      -- waited as long as the queue allows
    'full',         -- the queue had its maximum size
    'empty',        -- no agent was there to wait for
    'closed',       -- outside the opening hours, or the queue is out of use
    'exit_key',     -- the caller pressed the exit key
    'ejected',      -- a supervisor sent the caller away
    'callback',     -- an older callback of the same number stays in its place
    'transferred',  -- an agent handed the caller on
    'host_lost',    -- the media host died, and the caller did not come back in time
    'cancelled',    -- a callback that somebody took back
    'expired',      -- a callback that became too old
    'failed'        -- no host took the call, or a callback was tried as often as allowed
);

CREATE TYPE offer_state AS ENUM (
    'reserved',  -- a command for the host lies ready
    'ringing',   -- the agent is being called
    'answered',  -- the agent answered and has the caller
    'ended'      -- over, see outcome
);

CREATE TYPE offer_outcome AS ENUM (
    'answered',     -- the agent took the call
    'no_answer',    -- the phone rang as long as the queue lets it
    'rejected',     -- the agent refused the call
    'busy',         -- the phone said busy
    'unreachable',  -- the phone is not there
    'caller_gone',  -- the caller was quicker to leave
    'cancelled',    -- another agent was quicker, or a supervisor decided otherwise
    'failed',       -- our fault or that of the codecs: the agent is not to blame
    'lost'          -- nobody told how it ended: deadline or repair
);

CREATE TYPE queue_strategy AS ENUM (
    'ring_all',      -- every ready agent rings, the first answer wins
    'longest_idle',  -- who has been idle longest
    'fewest_calls',  -- who has taken the fewest calls since login
    'least_talk',    -- who has talked least since login
    'round_robin',   -- who was offered a call of this queue longest ago
    'random',        -- any, each equally likely
    'linear',        -- always in the order of positions
    'skill'          -- who has the highest levels of the skills that the queue asks for
);

CREATE TYPE queue_anchor AS ENUM (
    'auto',    -- straight to the agent when the queue uses nothing that needs a media host
    'always',  -- a media host carries every call
    'never'    -- straight to the agent whenever one is free
);

CREATE TYPE queue_staffing AS ENUM (
    'always',     -- whoever is there
    'logged_in',  -- as long as an agent of the queue is logged in
    'available'   -- as long as an agent of the queue is logged in and not paused
);

-- ---------------------------------------------------------------------------------------- configuration

CREATE TABLE skill (
    tenant_id  integer NOT NULL CONSTRAINT skill_tenant_fkey REFERENCES tenant,
    skill_id   integer GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL CONSTRAINT skill_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    CONSTRAINT skill_pkey PRIMARY KEY (tenant_id, skill_id),
    CONSTRAINT skill_name_key UNIQUE (tenant_id, name)
);
COMMENT ON TABLE skill IS 'What agents of a tenant can be good at.';

CREATE TABLE pause_reason (
    tenant_id  integer NOT NULL CONSTRAINT pause_reason_tenant_fkey REFERENCES tenant,
    name       text NOT NULL CONSTRAINT pause_reason_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    paid       boolean NOT NULL DEFAULT true,
    enabled    boolean NOT NULL DEFAULT true,
    CONSTRAINT pause_reason_pkey PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE pause_reason IS 'Why agents of a tenant may pause; the reasons of the system (no_answer, rejected, busy, unreachable) need no row.';

CREATE TABLE agent (
    tenant_id     integer NOT NULL CONSTRAINT agent_tenant_fkey REFERENCES tenant,
    agent_id      integer GENERATED ALWAYS AS IDENTITY,
    name          text NOT NULL CONSTRAINT agent_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    display_name  text NOT NULL DEFAULT ''
                  CONSTRAINT agent_display_name_check CHECK (display_name !~ '^ | $|[[:cntrl:]]' AND length(display_name) <= 128),
    account_id    integer,
    number        text CONSTRAINT agent_number_check CHECK (number ~ '^[+]?[0-9]{2,20}$'),
    enabled       boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_pkey PRIMARY KEY (tenant_id, agent_id),
    CONSTRAINT agent_name_key UNIQUE (tenant_id, name),
    CONSTRAINT agent_account_key UNIQUE (tenant_id, account_id),
    CONSTRAINT agent_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account,
    CONSTRAINT agent_phone_check CHECK (num_nonnulls(account_id, number) = 1)
);
COMMENT ON TABLE agent IS 'A person who takes calls, on the phone of an account or on an external number.';

CREATE TABLE agent_skill (
    tenant_id  integer NOT NULL,
    agent_id   integer NOT NULL,
    skill_id   integer NOT NULL,
    level      smallint NOT NULL CONSTRAINT agent_skill_level_check CHECK (level BETWEEN 1 AND 10),
    CONSTRAINT agent_skill_pkey PRIMARY KEY (tenant_id, agent_id, skill_id),
    CONSTRAINT agent_skill_agent_fkey FOREIGN KEY (tenant_id, agent_id) REFERENCES agent ON DELETE CASCADE,
    CONSTRAINT agent_skill_skill_fkey FOREIGN KEY (tenant_id, skill_id) REFERENCES skill
);
COMMENT ON TABLE agent_skill IS 'How good an agent is at something: 1 to 10.';

CREATE TABLE queue (
    tenant_id               integer NOT NULL CONSTRAINT queue_tenant_fkey REFERENCES tenant,
    queue_id                integer GENERATED ALWAYS AS IDENTITY CONSTRAINT queue_id_key UNIQUE,
    name                    text NOT NULL CONSTRAINT queue_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    enabled                 boolean NOT NULL DEFAULT true,
    strategy                queue_strategy NOT NULL DEFAULT 'longest_idle',
    anchor                  queue_anchor NOT NULL DEFAULT 'auto',
    priority                integer NOT NULL DEFAULT 0 CONSTRAINT queue_priority_check CHECK (priority BETWEEN -1000 AND 1000),
    ageing_seconds          integer CONSTRAINT queue_ageing_check CHECK (ageing_seconds BETWEEN 1 AND 86400),
    tier_waits              integer[] NOT NULL DEFAULT '{0}'
                            CONSTRAINT queue_tier_waits_check CHECK (cardinality(tier_waits) BETWEEN 1 AND 20 AND tier_waits[1] = 0),
    ring_seconds            integer NOT NULL DEFAULT 20 CONSTRAINT queue_ring_check CHECK (ring_seconds BETWEEN 1 AND 600),
    ring_all_limit          integer NOT NULL DEFAULT 10 CONSTRAINT queue_ring_all_limit_check CHECK (ring_all_limit BETWEEN 1 AND 50),
    retry_seconds           integer NOT NULL DEFAULT 0 CONSTRAINT queue_retry_check CHECK (retry_seconds BETWEEN 0 AND 600),
    wrapup_seconds          integer NOT NULL DEFAULT 10 CONSTRAINT queue_wrapup_check CHECK (wrapup_seconds BETWEEN 0 AND 3600),
    max_size                integer CONSTRAINT queue_max_size_check CHECK (max_size >= 0),
    max_wait_seconds        integer CONSTRAINT queue_max_wait_check CHECK (max_wait_seconds BETWEEN 1 AND 86400),
    join_when               queue_staffing NOT NULL DEFAULT 'always',
    stay_when               queue_staffing NOT NULL DEFAULT 'always',
    schedule_id             integer,
    sticky_seconds          integer CONSTRAINT queue_sticky_check CHECK (sticky_seconds BETWEEN 1 AND 3600),
    sticky_days             integer NOT NULL DEFAULT 7 CONSTRAINT queue_sticky_days_check CHECK (sticky_days BETWEEN 1 AND 365),
    reject_exclusion_seconds integer NOT NULL DEFAULT 300
                            CONSTRAINT queue_reject_exclusion_check CHECK (reject_exclusion_seconds BETWEEN 0 AND 86400),
    no_answer_delay_seconds integer NOT NULL DEFAULT 10 CONSTRAINT queue_no_answer_delay_check CHECK (no_answer_delay_seconds BETWEEN 0 AND 3600),
    no_answer_limit         integer DEFAULT 3 CONSTRAINT queue_no_answer_limit_check CHECK (no_answer_limit >= 1),
    reject_delay_seconds    integer NOT NULL DEFAULT 5 CONSTRAINT queue_reject_delay_check CHECK (reject_delay_seconds BETWEEN 0 AND 3600),
    reject_limit            integer CONSTRAINT queue_reject_limit_check CHECK (reject_limit >= 1),
    busy_delay_seconds      integer NOT NULL DEFAULT 15 CONSTRAINT queue_busy_delay_check CHECK (busy_delay_seconds BETWEEN 0 AND 3600),
    busy_limit              integer CONSTRAINT queue_busy_limit_check CHECK (busy_limit >= 1),
    unreachable_delay_seconds integer NOT NULL DEFAULT 30
                            CONSTRAINT queue_unreachable_delay_check CHECK (unreachable_delay_seconds BETWEEN 0 AND 3600),
    unreachable_limit       integer DEFAULT 3 CONSTRAINT queue_unreachable_limit_check CHECK (unreachable_limit >= 1),
    overflow                jsonb NOT NULL DEFAULT '{}' CONSTRAINT queue_overflow_check CHECK (jsonb_typeof(overflow) = 'object'),
    media                   jsonb NOT NULL DEFAULT '{}' CONSTRAINT queue_media_check CHECK (jsonb_typeof(media) = 'object'),
    record                  boolean NOT NULL DEFAULT false,
    transferable            boolean NOT NULL DEFAULT false,
    supervised              boolean NOT NULL DEFAULT false,
    grace_seconds           integer NOT NULL DEFAULT 120 CONSTRAINT queue_grace_check CHECK (grace_seconds BETWEEN 0 AND 3600),
    service_level_seconds   integer NOT NULL DEFAULT 20 CONSTRAINT queue_service_level_check CHECK (service_level_seconds BETWEEN 0 AND 3600),
    service_level_percent   integer NOT NULL DEFAULT 80
                            CONSTRAINT queue_service_percent_check CHECK (service_level_percent BETWEEN 0 AND 100),
    short_abandon_seconds   integer NOT NULL DEFAULT 5 CONSTRAINT queue_short_abandon_check CHECK (short_abandon_seconds BETWEEN 0 AND 600),
    callback_enabled        boolean NOT NULL DEFAULT false,
    callback_first          text NOT NULL DEFAULT 'agent' CONSTRAINT queue_callback_first_check CHECK (callback_first IN ('agent', 'caller')),
    callback_attempts       integer NOT NULL DEFAULT 3 CONSTRAINT queue_callback_attempts_check CHECK (callback_attempts BETWEEN 1 AND 50),
    callback_retry_seconds  integer NOT NULL DEFAULT 600
                            CONSTRAINT queue_callback_retry_check CHECK (callback_retry_seconds BETWEEN 1 AND 86400),
    callback_ring_seconds   integer NOT NULL DEFAULT 40 CONSTRAINT queue_callback_ring_check CHECK (callback_ring_seconds BETWEEN 5 AND 600),
    callback_expires_seconds integer NOT NULL DEFAULT 86400
                            CONSTRAINT queue_callback_expires_check CHECK (callback_expires_seconds BETWEEN 60 AND 2592000),
    callback_schedule_id    integer,
    callback_caller_id      text NOT NULL DEFAULT '' CONSTRAINT queue_callback_caller_id_check CHECK (callback_caller_id ~ '^([+]?[0-9]{2,20})?$'),
    anchored                boolean NOT NULL GENERATED ALWAYS AS (
        CASE anchor WHEN 'always' THEN true WHEN 'never' THEN false ELSE
            strategy = 'ring_all' OR transferable OR supervised
            OR coalesce(media ->> 'whisper', '') <> '' OR coalesce(media ->> 'after_agent', 'end') <> 'end'
            OR coalesce((media ->> 'answer_at_once')::boolean, false) END) STORED,
    CONSTRAINT queue_pkey PRIMARY KEY (tenant_id, queue_id),
    CONSTRAINT queue_name_key UNIQUE (tenant_id, name),
    CONSTRAINT queue_schedule_fkey FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedule,
    CONSTRAINT queue_callback_schedule_fkey FOREIGN KEY (tenant_id, callback_schedule_id) REFERENCES schedule,
    CONSTRAINT queue_anchor_check CHECK (NOT (strategy = 'ring_all' AND anchor = 'never'))
);
COMMENT ON TABLE queue IS 'A waiting line and its rules; every rule may change while calls wait.';
COMMENT ON COLUMN queue.ageing_seconds IS 'One step of a caller''s priority is worth so much waiting; null: priority is strict.';
COMMENT ON COLUMN queue.tier_waits IS 'Element N: the agents of tier N take callers who have waited so many seconds; ascending.';
COMMENT ON COLUMN queue.overflow IS 'Reason (entry_end) to {"kind": destination_kind, "value": name or number, "announcement": prompt}; a queue keeps the caller''s place.';
COMMENT ON COLUMN queue.media IS 'What a media host must know: fields of sems_apps.settings.QueueSettings.';
COMMENT ON COLUMN queue.anchored IS 'A media host carries the call although an agent is free.';

CREATE TABLE queue_skill (
    tenant_id      integer NOT NULL,
    queue_id       integer NOT NULL,
    skill_id       integer NOT NULL,
    after_seconds  integer NOT NULL DEFAULT 0 CONSTRAINT queue_skill_after_check CHECK (after_seconds BETWEEN 0 AND 86400),
    level          smallint NOT NULL CONSTRAINT queue_skill_level_check CHECK (level BETWEEN 0 AND 10),
    CONSTRAINT queue_skill_pkey PRIMARY KEY (tenant_id, queue_id, skill_id, after_seconds),
    CONSTRAINT queue_skill_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue ON DELETE CASCADE,
    CONSTRAINT queue_skill_skill_fkey FOREIGN KEY (tenant_id, skill_id) REFERENCES skill
);
COMMENT ON TABLE queue_skill IS 'Skills that the agents of a queue must have: the step with the longest wait that the caller has reached counts; level 0 asks nothing any more.';

CREATE TABLE queue_member (
    tenant_id      integer NOT NULL,
    queue_id       integer NOT NULL,
    agent_id       integer NOT NULL,
    tier           smallint NOT NULL DEFAULT 1 CONSTRAINT queue_member_tier_check CHECK (tier BETWEEN 1 AND 20),
    penalty        smallint NOT NULL DEFAULT 0 CONSTRAINT queue_member_penalty_check CHECK (penalty BETWEEN 0 AND 100),
    position       integer NOT NULL DEFAULT 0 CONSTRAINT queue_member_position_check CHECK (position BETWEEN 0 AND 100000),
    CONSTRAINT queue_member_pkey PRIMARY KEY (tenant_id, queue_id, agent_id),
    CONSTRAINT queue_member_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue ON DELETE CASCADE,
    CONSTRAINT queue_member_agent_fkey FOREIGN KEY (tenant_id, agent_id) REFERENCES agent ON DELETE CASCADE
);
COMMENT ON TABLE queue_member IS 'Agents of a queue. Of the ready ones of an open tier, the smaller penalty goes first, then the strategy decides.';
CREATE INDEX queue_member_agent_idx ON queue_member (tenant_id, agent_id);
COMMENT ON INDEX queue_member_agent_idx IS 'The queues that an agent serves.';

-- ------------------------------------------------------------------------------------------- live state
-- Apart from the configuration, whose every change is logged for ks-index.

CREATE TABLE agent_live (
    tenant_id      integer NOT NULL,
    agent_id       integer NOT NULL,
    state          agent_state NOT NULL DEFAULT 'offline',
    state_reason   text NOT NULL DEFAULT '',
    state_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    event          text NOT NULL DEFAULT 'create',
    event_by       text NOT NULL DEFAULT '',
    event_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    enabled        boolean NOT NULL DEFAULT true,
    logged_in      boolean NOT NULL DEFAULT false,
    login_at       timestamptz,
    external       boolean NOT NULL DEFAULT false,
    registered     boolean NOT NULL DEFAULT false,
    unseen_since   timestamptz,
    offer_id       bigint,
    offer_state    offer_state,
    legs           integer NOT NULL DEFAULT 0 CONSTRAINT agent_live_legs_check CHECK (legs >= 0),
    wrapup_until   timestamptz,
    pause_reason   text,
    not_before     timestamptz,
    ready          boolean NOT NULL DEFAULT false,
    due_at         timestamptz,
    idle_since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    calls          integer NOT NULL DEFAULT 0,
    talk_seconds   bigint NOT NULL DEFAULT 0,
    no_answers     integer NOT NULL DEFAULT 0,
    rejects        integer NOT NULL DEFAULT 0,
    busies         integer NOT NULL DEFAULT 0,
    unreachables   integer NOT NULL DEFAULT 0,
    CONSTRAINT agent_live_pkey PRIMARY KEY (tenant_id, agent_id),
    CONSTRAINT agent_live_agent_fkey FOREIGN KEY (tenant_id, agent_id) REFERENCES agent ON DELETE CASCADE,
    CONSTRAINT agent_live_offer_check CHECK ((offer_id IS NULL) = (offer_state IS NULL) AND offer_state IS DISTINCT FROM 'ended'),
    CONSTRAINT agent_live_pause_check CHECK (state <> 'paused' OR pause_reason IS NOT NULL),
    CONSTRAINT agent_live_wrapup_check CHECK (state <> 'wrapup' OR wrapup_until IS NOT NULL),
    CONSTRAINT agent_live_ready_check CHECK (NOT ready OR state = 'free')
) WITH (fillfactor = 50);
COMMENT ON TABLE agent_live IS 'State of an agent: facts, and the state that follows from them (trigger agent_live_follow).';
COMMENT ON COLUMN agent_live.event IS 'What changed the facts last; state machine: acd_transition.';
COMMENT ON COLUMN agent_live.not_before IS 'Penalty: no call before this time.';
COMMENT ON COLUMN agent_live.no_answers IS 'Of offers in a row; an answer sets all four counters to 0.';
CREATE INDEX agent_live_due_idx ON agent_live (due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX agent_live_due_idx IS 'Nearest end of a wrap-up or a penalty.';

CREATE TABLE queue_live (
    tenant_id      integer NOT NULL,
    queue_id       integer NOT NULL,
    is_open        boolean NOT NULL DEFAULT true,
    callback_open  boolean NOT NULL DEFAULT true,
    steps          integer[] NOT NULL DEFAULT '{}',
    skilled        boolean NOT NULL DEFAULT false,
    members        integer NOT NULL DEFAULT 0,
    handle_seconds double precision,
    CONSTRAINT queue_live_pkey PRIMARY KEY (tenant_id, queue_id),
    CONSTRAINT queue_live_queue_fkey FOREIGN KEY (tenant_id, queue_id) REFERENCES queue ON DELETE CASCADE
) WITH (fillfactor = 50);
COMMENT ON TABLE queue_live IS 'What changes by itself about a queue: hours (ks-acd), number of members, moving average of the handle time.';
COMMENT ON COLUMN queue_live.steps IS 'Seconds of waiting at which more agents may take the caller: tiers and skill steps, ascending, without 0.';

CREATE TABLE round_robin (
    tenant_id      integer NOT NULL,
    queue_id       integer NOT NULL,
    agent_id       integer NOT NULL,
    last_offer_at  timestamptz NOT NULL,
    CONSTRAINT round_robin_pkey PRIMARY KEY (tenant_id, queue_id, agent_id),
    CONSTRAINT round_robin_member_fkey FOREIGN KEY (tenant_id, queue_id, agent_id) REFERENCES queue_member ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON TABLE round_robin IS 'When a queue of the strategy round_robin had each agent rung last.';

CREATE TABLE ready_agent (
    tenant_id  integer NOT NULL,
    agent_id   integer NOT NULL,
    queue_id   integer NOT NULL,
    tier       smallint NOT NULL,
    penalty    smallint NOT NULL,
    rank       double precision NOT NULL,
    min_wait   integer NOT NULL,
    CONSTRAINT ready_agent_pkey PRIMARY KEY (tenant_id, agent_id, queue_id)
);
COMMENT ON TABLE ready_agent IS 'One row for each queue of each agent who can get a call now, with his rank by the queue''s strategy (smallest first).';
CREATE INDEX ready_agent_order_idx ON ready_agent (queue_id, tier, penalty, rank, agent_id) INCLUDE (min_wait);
COMMENT ON COLUMN ready_agent.min_wait IS 'Seconds that a caller must have waited: opening of the tier, and of the skill steps that the agent fulfils.';
COMMENT ON INDEX ready_agent_order_idx IS 'The best agent of a queue, without looking at the others.';

CREATE TABLE queue_entry (
    tenant_id       integer NOT NULL,
    entry_id        bigint GENERATED ALWAYS AS IDENTITY,
    queue_id        integer NOT NULL,
    kind            entry_kind NOT NULL DEFAULT 'call',
    state           entry_state NOT NULL,
    call_id         uuid NOT NULL,
    caller          text NOT NULL DEFAULT '',
    caller_name     text NOT NULL DEFAULT '',
    priority        integer NOT NULL DEFAULT 0,
    since           timestamptz NOT NULL,
    entered_at      timestamptz NOT NULL,
    order_class     integer NOT NULL,
    order_at        timestamptz NOT NULL,
    holder          text,
    anchored        boolean NOT NULL,
    proxy           text,
    state_at        timestamptz NOT NULL,
    leave_at        timestamptz,
    due_at          timestamptz,
    not_before      timestamptz,
    missing_since   timestamptz,
    assigned_agent  integer,
    sticky_agent    integer,
    sticky_until    timestamptz,
    offers          integer NOT NULL DEFAULT 0,
    hops            integer NOT NULL DEFAULT 0,
    number          text CONSTRAINT queue_entry_number_check CHECK (number ~ '^[+]?[0-9*#]{2,32}$'),
    callback_first  text,
    dials           integer NOT NULL DEFAULT 0,
    expires_at      timestamptz,
    variables       jsonb NOT NULL DEFAULT '{}',
    agent_id        integer,
    answered_at     timestamptz,
    ended_at        timestamptz,
    end_reason      entry_end,
    ended_by        text NOT NULL DEFAULT '',
    waited_ms       bigint,
    talk_ms         bigint NOT NULL DEFAULT 0,
    survey          smallint CONSTRAINT queue_entry_survey_check CHECK (survey BETWEEN 1 AND 5),
    CONSTRAINT queue_entry_pkey PRIMARY KEY (tenant_id, entry_id),
    CONSTRAINT queue_entry_end_check CHECK ((state = 'ended') = (ended_at IS NOT NULL) AND (ended_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT queue_entry_callback_check CHECK (kind = 'call' OR number IS NOT NULL)
) WITH (fillfactor = 70);
COMMENT ON TABLE queue_entry IS 'One caller, or one callback, in a queue. since is kept on move, overflow and callback; entered_at is when this queue got it.';
COMMENT ON COLUMN queue_entry.order_class IS 'Higher goes first; then order_at, the older first (see acd_order).';
COMMENT ON COLUMN queue_entry.priority IS 'Above or below the priority of the queue.';
CREATE INDEX queue_entry_order_idx ON queue_entry (queue_id, order_class DESC, order_at, entry_id) WHERE state = 'waiting';
COMMENT ON INDEX queue_entry_order_idx IS 'The next caller of a queue.';
CREATE UNIQUE INDEX queue_entry_call_key ON queue_entry (call_id) WHERE state <> 'ended' AND kind = 'call';
COMMENT ON INDEX queue_entry_call_key IS 'A call waits once: acd_enter finds the entry of a call that is there already.';
CREATE UNIQUE INDEX queue_entry_callback_key ON queue_entry (queue_id, number) WHERE state <> 'ended' AND kind = 'callback';
COMMENT ON INDEX queue_entry_callback_key IS 'One callback for each number and queue.';
CREATE INDEX queue_entry_holder_idx ON queue_entry (holder, entry_id) WHERE state <> 'ended';
COMMENT ON INDEX queue_entry_holder_idx IS 'What a host must know (report), and what dies with it.';
CREATE INDEX queue_entry_due_idx ON queue_entry (due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX queue_entry_due_idx IS 'Nearest deadline.';
CREATE INDEX queue_entry_assigned_idx ON queue_entry (tenant_id, assigned_agent) WHERE assigned_agent IS NOT NULL AND state = 'waiting';
COMMENT ON INDEX queue_entry_assigned_idx IS 'Callers whom a supervisor gave to an agent.';
CREATE INDEX queue_entry_lost_idx ON queue_entry (queue_id, caller) WHERE state = 'lost';
COMMENT ON INDEX queue_entry_lost_idx IS 'A caller who redials finds his place.';
CREATE INDEX queue_entry_queue_idx ON queue_entry (tenant_id, queue_id, entered_at);
COMMENT ON INDEX queue_entry_queue_idx IS 'History of a queue.';

CREATE TABLE offer (
    tenant_id    integer NOT NULL,
    offer_id     bigint GENERATED ALWAYS AS IDENTITY,
    entry_id     bigint NOT NULL,
    queue_id     integer NOT NULL,
    agent_id     integer NOT NULL,
    call_id      uuid NOT NULL,
    caller       text NOT NULL DEFAULT '',
    holder       text NOT NULL,
    proxy        text,
    state        offer_state NOT NULL,
    strategy     queue_strategy NOT NULL,
    forced       boolean NOT NULL DEFAULT false,
    ring_all     boolean NOT NULL DEFAULT false,
    made_at      timestamptz NOT NULL,
    rung_at      timestamptz,
    answered_at  timestamptz,
    joined_at    timestamptz,
    ended_at     timestamptz,
    deadline_at  timestamptz,
    missing_since timestamptz,
    held_since   timestamptz,
    outcome      offer_outcome,
    code         integer,
    cause        text NOT NULL DEFAULT '',
    hung_up_by   text NOT NULL DEFAULT '',
    waited_ms    bigint NOT NULL,
    ring_ms      bigint,
    talk_ms      bigint,
    hold_ms      bigint NOT NULL DEFAULT 0,
    agent_sip_call_id  text,
    candidates   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT offer_pkey PRIMARY KEY (tenant_id, offer_id),
    CONSTRAINT offer_entry_fkey FOREIGN KEY (tenant_id, entry_id) REFERENCES queue_entry ON DELETE CASCADE,
    CONSTRAINT offer_end_check CHECK ((state = 'ended') = (ended_at IS NOT NULL) AND (ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT offer_answer_check CHECK (state <> 'answered' OR answered_at IS NOT NULL)
) WITH (fillfactor = 70);
COMMENT ON TABLE offer IS 'One ringing of one agent for one entry, why he was chosen, and how it ended.';
COMMENT ON COLUMN offer.candidates IS 'Ready agents in the order of choice with their ranks, who was left out and why, the number that was drawn.';
CREATE UNIQUE INDEX offer_agent_key ON offer (agent_id) WHERE state <> 'ended';
COMMENT ON INDEX offer_agent_key IS 'Never two callers for one agent.';
CREATE UNIQUE INDEX offer_single_key ON offer (entry_id) WHERE state <> 'ended' AND NOT ring_all;
COMMENT ON INDEX offer_single_key IS 'Never one caller at two agents, ring-all apart.';
CREATE UNIQUE INDEX offer_answered_key ON offer (entry_id) WHERE state = 'answered';
COMMENT ON INDEX offer_answered_key IS 'The first answer wins.';
CREATE INDEX offer_entry_idx ON offer (tenant_id, entry_id);
COMMENT ON INDEX offer_entry_idx IS 'The offers of an entry.';
CREATE INDEX offer_deadline_idx ON offer (deadline_at) WHERE deadline_at IS NOT NULL;
COMMENT ON INDEX offer_deadline_idx IS 'Nearest deadline.';
CREATE INDEX offer_made_idx ON offer (tenant_id, made_at);
COMMENT ON INDEX offer_made_idx IS 'Attempts of a time.';

CREATE TABLE rejection (
    tenant_id  integer NOT NULL,
    caller     text NOT NULL,
    agent_id   integer NOT NULL,
    until      timestamptz NOT NULL,
    CONSTRAINT rejection_pkey PRIMARY KEY (tenant_id, caller, agent_id)
);
COMMENT ON TABLE rejection IS 'A caller (number, or #entry when withheld) is not offered to this agent before this time.';
CREATE INDEX rejection_until_idx ON rejection (until);
COMMENT ON INDEX rejection_until_idx IS 'What is over and can go.';

CREATE TABLE last_agent (
    tenant_id  integer NOT NULL,
    caller     text NOT NULL,
    agent_id   integer NOT NULL,
    at         timestamptz NOT NULL,
    CONSTRAINT last_agent_pkey PRIMARY KEY (tenant_id, caller)
);
COMMENT ON TABLE last_agent IS 'Who talked with a caller last, for queues that are sticky.';

CREATE TABLE agent_leg (
    tenant_id    integer NOT NULL,
    account_id   integer NOT NULL,
    proxy        text NOT NULL,
    sip_call_id  text NOT NULL,
    agent_id     integer NOT NULL,
    direction    text NOT NULL CONSTRAINT agent_leg_direction_check CHECK (direction IN ('in', 'out')),
    peer         text NOT NULL DEFAULT '',
    confirmed    boolean NOT NULL DEFAULT false,
    started_at   timestamptz NOT NULL,
    missing_since timestamptz,
    CONSTRAINT agent_leg_pkey PRIMARY KEY (tenant_id, account_id, proxy, sip_call_id)
);
COMMENT ON TABLE agent_leg IS 'Dialogs of agents'' accounts that are no offers; written by the proxy that carries them.';
CREATE INDEX agent_leg_proxy_idx ON agent_leg (proxy);
COMMENT ON INDEX agent_leg_proxy_idx IS 'Reconciliation with one proxy.';

CREATE TABLE leg (
    tenant_id    integer NOT NULL,
    sip_call_id  text NOT NULL,
    tag          text NOT NULL,
    remote_tag   text NOT NULL DEFAULT '',
    entry_id     bigint NOT NULL,
    offer_id     bigint,
    kind         text NOT NULL CONSTRAINT leg_kind_check CHECK (kind IN ('caller', 'agent')),
    holder       text NOT NULL,
    CONSTRAINT leg_pkey PRIMARY KEY (tenant_id, sip_call_id, tag),
    CONSTRAINT leg_entry_fkey FOREIGN KEY (tenant_id, entry_id) REFERENCES queue_entry ON DELETE CASCADE
);
COMMENT ON TABLE leg IS 'Dialogs of media hosts by Call-ID and tag, for Replaces (RFC 3891).';
CREATE INDEX leg_entry_idx ON leg (tenant_id, entry_id);
COMMENT ON INDEX leg_entry_idx IS 'Legs go with their entry.';

CREATE TABLE host_command (
    command_id  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT host_command_pkey PRIMARY KEY,
    host        text NOT NULL,
    tenant_id   integer NOT NULL,
    kind        text NOT NULL,
    entry_id    bigint,
    offer_id    bigint,
    data        jsonb NOT NULL DEFAULT '{}',
    by          text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at    timestamptz,
    done_at     timestamptz,
    error       text NOT NULL DEFAULT ''
);
COMMENT ON TABLE host_command IS 'What a media host must do; NOTIFY host_<name> carries the id only, and hosts poll.';
CREATE INDEX host_command_open_idx ON host_command (host, command_id) WHERE taken_at IS NULL;
COMMENT ON INDEX host_command_open_idx IS 'What a host has not taken yet.';
CREATE INDEX host_command_created_idx ON host_command (created_at);
COMMENT ON INDEX host_command_created_idx IS 'Old commands go.';
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
-- configuration, after which this runs again. Ties of calls and talk time: the longest idle first.
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
               WHEN 'random' THEN 0
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
-- Call distribution: who meets whom. One match function, which every transition runs.

CREATE FUNCTION acd_settings(p_tenant integer, p_queue integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT media || jsonb_build_object('tenant', tenant_id, 'queue', queue_id, 'name', name, 'record', record)
            FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue);
END $$;
COMMENT ON FUNCTION acd_settings(integer, integer) IS 'What a media host must know of a queue (sems_apps.settings.QueueSettings).';

CREATE FUNCTION acd_next_step(p_entry queue_entry, p_now timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
-- Whatever else makes a pair possible is a transition, which matches by itself; the end of a rejection is one too.
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_next timestamptz;
BEGIN
    SELECT p_entry.since + acd_seconds(min(step)) INTO v_next
    FROM queue_live l, unnest(l.steps) AS step
    WHERE l.tenant_id = p_entry.tenant_id AND l.queue_id = p_entry.queue_id AND step > v_waited;
    RETURN least(v_next,
                 CASE WHEN p_entry.not_before > p_now THEN p_entry.not_before END,
                 CASE WHEN p_entry.sticky_until > p_now THEN p_entry.sticky_until END);
END $$;
COMMENT ON FUNCTION acd_next_step(queue_entry, timestamptz) IS 'When a waiting entry may be taken by more agents than now; null: never.';

CREATE FUNCTION acd_caller_key(p_caller text, p_entry bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_caller WHEN '' THEN '#' || p_entry ELSE p_caller END;
$$;
COMMENT ON FUNCTION acd_caller_key(text, bigint) IS 'By what a caller is known again: the number, or the entry when it is withheld.';

CREATE FUNCTION acd_set_due(p_entry queue_entry, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_stay queue_staffing;
BEGIN
    SELECT stay_when INTO v_stay FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    UPDATE queue_entry
    SET due_at = least(p_entry.leave_at, p_entry.expires_at, acd_next_step(p_entry, p_now),
                       CASE WHEN v_stay <> 'always' AND p_entry.kind = 'call' THEN p_now + interval '2 s' END)
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
END $$;
COMMENT ON FUNCTION acd_set_due(queue_entry, timestamptz) IS 'Notes when somebody must look at a waiting entry again.';

-- ---------------------------------------------------------------------------------------------- choice

CREATE FUNCTION acd_best_entry(p_tenant integer, p_agent integer, p_now timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
-- Each queue's index gives its callers in order, so only those are looked at who may not have this agent.
BEGIN
    RETURN (
        SELECT best.entry_id
        FROM ready_agent r
        JOIN queue_live l ON l.tenant_id = r.tenant_id AND l.queue_id = r.queue_id
        CROSS JOIN LATERAL (
            SELECT e.entry_id, e.order_class, e.order_at
            FROM queue_entry e
            WHERE e.queue_id = r.queue_id AND e.state = 'waiting' AND e.assigned_agent IS NULL
              AND e.since <= p_now - acd_seconds(r.min_wait)
              AND (e.not_before IS NULL OR e.not_before <= p_now)
              AND (e.sticky_until IS NULL OR e.sticky_until <= p_now OR e.sticky_agent = p_agent)
              AND (e.kind = 'call' OR l.callback_open)
              AND NOT EXISTS (SELECT FROM rejection x
                              WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.until > p_now
                                AND x.caller = CASE e.caller WHEN '' THEN '#' || e.entry_id ELSE e.caller END)
            ORDER BY e.order_class DESC, e.order_at, e.entry_id
            LIMIT 1) best
        WHERE r.tenant_id = p_tenant AND r.agent_id = p_agent
        ORDER BY best.order_class DESC, best.order_at, best.entry_id
        LIMIT 1);
END $$;
COMMENT ON FUNCTION acd_best_entry(integer, integer, timestamptz) IS 'The caller whom a ready agent must get: over all his queues, by priority, then waited time.';

CREATE FUNCTION acd_rejecting(p_entry queue_entry, p_now timestamptz) RETURNS integer[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(SELECT agent_id FROM rejection
                 WHERE tenant_id = p_entry.tenant_id AND caller = acd_caller_key(p_entry.caller, p_entry.entry_id) AND until > p_now);
END $$;
COMMENT ON FUNCTION acd_rejecting(queue_entry, timestamptz) IS 'Agents who rejected this caller a moment ago.';

CREATE FUNCTION acd_best_agents(p_entry queue_entry, p_now timestamptz, p_most integer) RETURNS integer[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
    v_only integer := CASE WHEN p_entry.sticky_until > p_now THEN p_entry.sticky_agent END;
BEGIN
    RETURN ARRAY(
        SELECT r.agent_id
        FROM ready_agent r
        WHERE r.queue_id = p_entry.queue_id AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
          AND (v_only IS NULL OR r.agent_id = v_only)
        ORDER BY r.tier, r.penalty, r.rank, r.agent_id
        LIMIT p_most);
END $$;
COMMENT ON FUNCTION acd_best_agents(queue_entry, timestamptz, integer) IS 'The first ready agents whom an entry may have, in the order of tier, penalty and rank.';

CREATE FUNCTION acd_draw(p_entry queue_entry, p_now timestamptz, OUT agents integer[], OUT drawn double precision, OUT among integer)
LANGUAGE plpgsql AS $$
-- Among the equals of the best tier and penalty, each equally likely; what was drawn is kept with the offer.
DECLARE
    v_first ready_agent;
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
BEGIN
    agents := acd_best_agents(p_entry, p_now, 1);
    SELECT * INTO STRICT v_first FROM ready_agent r
    WHERE r.tenant_id = p_entry.tenant_id AND r.agent_id = agents[1] AND r.queue_id = p_entry.queue_id;
    drawn := random();
    among := 1;
    IF p_entry.sticky_until IS NULL OR p_entry.sticky_until <= p_now THEN
        SELECT count(*) INTO among FROM ready_agent r
        WHERE r.queue_id = p_entry.queue_id AND r.tier = v_first.tier AND r.penalty = v_first.penalty
          AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting);
        agents := ARRAY(
            SELECT r.agent_id FROM ready_agent r
            WHERE r.queue_id = p_entry.queue_id AND r.tier = v_first.tier AND r.penalty = v_first.penalty
              AND r.min_wait <= v_waited AND r.agent_id <> ALL (v_rejecting)
            ORDER BY r.rank, r.agent_id LIMIT 1 OFFSET floor(drawn * among)::integer);
    END IF;
END $$;
COMMENT ON FUNCTION acd_draw(queue_entry, timestamptz) IS 'Strategy random: the agent is number floor(drawn x among) of the equals, counted from 0.';

CREATE FUNCTION acd_candidates(p_entry queue_entry, p_queue queue, p_now timestamptz) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- What explains a choice later. In a large queue only the first of each kind: the states of all its agents at any
-- time stand in acd_event.
DECLARE
    v_waited double precision := extract(epoch FROM p_now - p_entry.since);
    v_rejecting integer[] := acd_rejecting(p_entry, p_now);
    v_members integer;
    v_ready jsonb;
    v_out jsonb := '[]';
BEGIN
    SELECT members INTO v_members FROM queue_live WHERE tenant_id = p_queue.tenant_id AND queue_id = p_queue.queue_id;
    SELECT coalesce(jsonb_agg(jsonb_build_object('agent', r.agent_id, 'tier', r.tier, 'penalty', r.penalty, 'rank', r.rank)
               || CASE WHEN r.min_wait > v_waited THEN jsonb_build_object('out', 'opens', 'at', r.min_wait)
                       WHEN p_entry.sticky_until > p_now AND r.agent_id <> p_entry.sticky_agent THEN '{"out": "sticky"}'::jsonb
                       WHEN r.agent_id = ANY (v_rejecting) THEN '{"out": "rejected"}'::jsonb
                       ELSE '{}'::jsonb END), '[]')
    INTO v_ready
    FROM (SELECT * FROM ready_agent r WHERE r.queue_id = p_queue.queue_id
          ORDER BY r.tier, r.penalty, r.rank, r.agent_id LIMIT 32) r;
    IF v_members <= 64 THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object('agent', m.agent_id, 'state', a.state, 'reason',
                   CASE WHEN a.ready THEN 'skill' WHEN a.state = 'free' THEN 'penalty' ELSE a.state_reason END)), '[]')
        INTO v_out
        FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
        WHERE m.tenant_id = p_queue.tenant_id AND m.queue_id = p_queue.queue_id
          AND NOT EXISTS (SELECT FROM ready_agent r
                          WHERE r.tenant_id = m.tenant_id AND r.agent_id = m.agent_id AND r.queue_id = m.queue_id);
    END IF;
    RETURN jsonb_build_object('members', v_members, 'ready', v_ready, 'out', v_out);
END $$;
COMMENT ON FUNCTION acd_candidates(queue_entry, queue, timestamptz) IS 'Agents that were looked at for an offer, with rank, or why they were left out.';

-- ----------------------------------------------------------------------------------------------- offer

CREATE FUNCTION acd_pick_host() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT name FROM acd_hosts() WHERE NOT draining LIMIT 1);
END $$;

CREATE FUNCTION acd_hosts() RETURNS TABLE (name text, address text, load double precision, calls integer, draining boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- With the rights of the owner: a tenant's program may not read the nodes.
BEGIN
    RETURN QUERY
    SELECT n.name, n.address, coalesce((n.data ->> 'load')::double precision, 0), coalesce((n.data ->> 'calls')::integer, 0),
           coalesce((n.data ->> 'draining')::boolean, false)
    FROM node n
    WHERE n.kind = 'media' AND n.enabled AND n.heartbeat_at > clock_timestamp() - interval '5 s'
    ORDER BY 5, 3, 4, 1;
END $$;
COMMENT ON FUNCTION acd_hosts() IS 'Living media hosts, least loaded first; those that drain come last.';
COMMENT ON FUNCTION acd_pick_host() IS 'The media host that gets the next call; null: none lives.';

CREATE FUNCTION acd_offer_data(p_entry queue_entry, p_queue queue, p_agent integer, p_forced boolean, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'queue', p_queue.queue_id, 'queue_name', p_queue.name, 'call', p_entry.call_id, 'agent', p_agent,
            'agent_name', a.name, 'to_kind', CASE WHEN a.number IS NULL THEN 'account' ELSE 'number' END,
            'to', coalesce(a.number, c.username), 'domain', d.name,
            'ring_seconds', p_queue.ring_seconds, 'caller', p_entry.caller, 'caller_name', p_entry.caller_name,
            'waited_seconds', round(extract(epoch FROM p_now - p_entry.since)), 'priority', p_queue.priority + p_entry.priority,
            'forced', p_forced, 'ring_all', p_queue.strategy = 'ring_all' AND NOT p_forced, 'record', p_queue.record,
            'first', CASE WHEN NOT p_entry.anchored THEN p_entry.callback_first END, 'number', p_entry.number,
            'settings', p_queue.media || jsonb_build_object(
                'tenant', p_queue.tenant_id, 'queue', p_queue.queue_id, 'name', p_queue.name, 'record', p_queue.record),
            'variables', p_entry.variables)
        FROM agent a
        LEFT JOIN account c ON c.tenant_id = a.tenant_id AND c.account_id = a.account_id
        LEFT JOIN LATERAL (SELECT domain.name FROM account_domain own JOIN domain USING (tenant_id, domain_id)
                           WHERE own.tenant_id = a.tenant_id AND own.account_id = a.account_id
                           ORDER BY domain.name LIMIT 1) d ON true
        WHERE a.tenant_id = p_entry.tenant_id AND a.agent_id = p_agent);
END $$;
COMMENT ON FUNCTION acd_offer_data(queue_entry, queue, integer, boolean, timestamptz) IS 'Data of offer_agent and join.';

CREATE FUNCTION acd_make_offer(
    p_entry queue_entry, p_queue queue, p_agent integer, p_forced boolean, p_candidates jsonb, p_now timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
-- Whoever asks rings at once; another host first takes the command. A callback whose person is called first keeps
-- the agent reserved meanwhile.
DECLARE
    v_dial boolean := p_entry.kind = 'callback' AND p_entry.callback_first = 'caller' AND NOT p_entry.anchored;
    v_state offer_state := CASE WHEN p_entry.holder = current_setting('acd.caller') AND NOT v_dial THEN 'ringing' ELSE 'reserved' END;
    v_limit integer := CASE WHEN v_dial THEN p_queue.callback_ring_seconds + 10
                            WHEN v_state = 'ringing' THEN p_queue.ring_seconds + 5 ELSE 5 END;
    v_offer bigint;
BEGIN
    INSERT INTO offer (tenant_id, entry_id, queue_id, agent_id, call_id, caller, holder, proxy, state, strategy, forced, ring_all,
                       made_at, rung_at, deadline_at, waited_ms, candidates)
    VALUES (p_entry.tenant_id, p_entry.entry_id, p_entry.queue_id, p_agent, p_entry.call_id, p_entry.caller, p_entry.holder, p_entry.proxy,
            v_state, p_queue.strategy, p_forced, p_queue.strategy = 'ring_all' AND NOT p_forced,
            p_now, CASE v_state WHEN 'ringing' THEN p_now END, p_now + acd_seconds(v_limit), acd_ms(p_entry.since, p_now), p_candidates)
    RETURNING offer_id INTO v_offer;
    UPDATE agent_live
    SET offer_id = v_offer, offer_state = v_state, event = CASE v_state WHEN 'ringing' THEN 'ring' ELSE 'reserve' END, event_at = p_now, event_by = ''
    WHERE tenant_id = p_entry.tenant_id AND agent_id = p_agent;
    IF p_queue.strategy = 'round_robin' AND NOT p_forced THEN
        INSERT INTO round_robin (tenant_id, queue_id, agent_id, last_offer_at) VALUES (p_entry.tenant_id, p_entry.queue_id, p_agent, p_now)
        ON CONFLICT (tenant_id, queue_id, agent_id) DO UPDATE SET last_offer_at = excluded.last_offer_at;
    END IF;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'offer.make', p_entry.queue_id, p_entry.entry_id, v_offer, p_agent, p_entry.call_id,
        jsonb_build_object('strategy', p_queue.strategy, 'forced', p_forced, 'waited_seconds', acd_ms(p_entry.since, p_now) / 1000.0));
    IF v_dial THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'dial', p_entry.entry_id, v_offer, acd_dial_data(p_entry, p_queue));
    ELSE
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'offer_agent', p_entry.entry_id, v_offer,
                         acd_offer_data(p_entry, p_queue, p_agent, p_forced, p_now));
    END IF;
    RETURN v_offer;
END $$;
COMMENT ON FUNCTION acd_make_offer(queue_entry, queue, integer, boolean, jsonb, timestamptz) IS 'Reserves one agent for an entry and has him rung.';

CREATE FUNCTION acd_dial_data(p_entry queue_entry, p_queue queue) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN jsonb_build_object(
        'number', p_entry.number, 'caller_id', p_queue.callback_caller_id, 'ring_seconds', p_queue.callback_ring_seconds,
        'first', p_entry.callback_first, 'call', p_entry.call_id, 'settings', acd_settings(p_queue.tenant_id, p_queue.queue_id));
END $$;
COMMENT ON FUNCTION acd_dial_data(queue_entry, queue) IS 'Data of dial.';

CREATE FUNCTION acd_offer_entry(p_tenant integer, p_entry bigint, p_forced_agent integer, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
-- False: a callback that no host can carry now; it is looked at again in a moment.
DECLARE
    e queue_entry;
    q queue;
    v_agents integer[];
    v_candidates jsonb;
    v_draw record;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF e.holder IS NULL THEN
        e.holder := acd_pick_host();
        IF e.holder IS NULL THEN
            UPDATE queue_entry SET not_before = p_now + interval '5 s', due_at = p_now + interval '5 s'
            WHERE tenant_id = p_tenant AND entry_id = p_entry;
            RETURN false;
        END IF;
    END IF;
    v_candidates := acd_candidates(e, q, p_now);
    IF p_forced_agent IS NOT NULL THEN
        v_agents := ARRAY[p_forced_agent];
    ELSIF q.strategy = 'random' THEN
        v_draw := acd_draw(e, p_now);
        v_agents := v_draw.agents;
        v_candidates := v_candidates || jsonb_build_object('drawn', v_draw.drawn, 'among', v_draw.among);
    ELSE
        v_agents := acd_best_agents(e, p_now, CASE q.strategy WHEN 'ring_all' THEN q.ring_all_limit ELSE 1 END);
    END IF;
    UPDATE queue_entry SET state = 'offered', state_at = p_now, due_at = NULL, offers = offers + 1, holder = e.holder
    WHERE tenant_id = p_tenant AND entry_id = p_entry;
    FOR i IN 1 .. cardinality(v_agents) LOOP
        PERFORM acd_make_offer(e, q, v_agents[i], p_forced_agent IS NOT NULL, CASE i WHEN 1 THEN v_candidates ELSE '{}' END, p_now);
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION acd_offer_entry(integer, bigint, integer, timestamptz) IS 'Offers a waiting entry to the agents that the strategy chooses, or to the one that somebody chose.';

-- ----------------------------------------------------------------------------------------------- match

CREATE FUNCTION acd_callable(p_tenant integer, p_agent integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT CASE WHEN NOT enabled OR NOT registered THEN 'gone' WHEN offer_id IS NOT NULL OR legs > 0 THEN 'busy' ELSE 'now' END
        FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent), 'gone');
END $$;
COMMENT ON FUNCTION acd_callable(integer, integer) IS 'Whether a chosen agent can be rung whatever his state: now, busy (later) or gone.';

CREATE FUNCTION acd_match(p_tenant integer, p_now timestamptz, p_entry bigint DEFAULT NULL, p_agent integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
-- The one match function. Before a transition no waiting entry and ready agent could be paired; so only pairs with
-- the entry or the agent that changed are looked for. An agent who is found always gets the caller who is first in
-- the order, and a caller always the agent whom his queue's strategy wants: a newcomer may wait because an older
-- caller, who could not have an agent a moment ago, gets him.
DECLARE
    v_entry bigint;
    v_assigned integer;
    e queue_entry;
BEGIN
    LOOP
        IF p_agent IS NOT NULL THEN
            EXIT WHEN acd_callable(p_tenant, p_agent) <> 'now';
            SELECT entry_id INTO v_entry FROM queue_entry
            WHERE tenant_id = p_tenant AND assigned_agent = p_agent AND state = 'waiting' AND (not_before IS NULL OR not_before <= p_now)
            ORDER BY order_class DESC, order_at, entry_id LIMIT 1;
            v_assigned := CASE WHEN v_entry IS NOT NULL THEN p_agent END;
            v_entry := coalesce(v_entry, acd_best_entry(p_tenant, p_agent, p_now));
        ELSE
            SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
            EXIT WHEN e.state <> 'waiting' OR e.not_before > p_now;
            v_assigned := acd_assigned_now(e, p_now);
            EXIT WHEN v_assigned = 0;
            v_entry := CASE WHEN v_assigned IS NOT NULL THEN p_entry
                            ELSE acd_best_entry(p_tenant, (acd_best_agents(e, p_now, 1))[1], p_now) END;
        END IF;
        EXIT WHEN v_entry IS NULL;
        IF NOT acd_offer_entry(p_tenant, v_entry, v_assigned, p_now) AND v_entry = p_entry THEN
            EXIT;
        END IF;
    END LOOP;
    IF p_entry IS NOT NULL AND e.state = 'waiting' THEN
        SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state = 'waiting';
        IF FOUND THEN
            PERFORM acd_set_due(e, p_now);
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION acd_match(integer, timestamptz, bigint, integer) IS 'Pairs waiting entries and ready agents until nothing more is possible for this entry or this agent.';

CREATE FUNCTION acd_assigned_now(p_entry queue_entry, p_now timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
-- An agent who has gone since does not keep his caller waiting for ever: the caller is anybody's again.
DECLARE
    v_callable text;
BEGIN
    IF p_entry.assigned_agent IS NULL THEN
        RETURN NULL;
    END IF;
    v_callable := acd_callable(p_entry.tenant_id, p_entry.assigned_agent);
    IF v_callable = 'now' THEN
        RETURN p_entry.assigned_agent;
    ELSIF v_callable = 'busy' THEN
        RETURN 0;
    END IF;
    UPDATE queue_entry SET assigned_agent = NULL WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.wait', p_entry.queue_id, p_entry.entry_id, NULL, p_entry.assigned_agent, p_entry.call_id,
                     '{"cause": "the chosen agent is gone"}');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION acd_assigned_now(queue_entry, timestamptz) IS 'The chosen agent if he can be rung now, 0 if later, null if any agent may have the caller.';

CREATE FUNCTION acd_match_queue(p_tenant integer, p_queue integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- After a change of configuration. At most as many rounds as there are ready agents.
DECLARE
    v_agent integer;
    v_last integer := 0;
BEGIN
    LOOP
        SELECT min(agent_id) INTO v_agent FROM ready_agent WHERE queue_id = p_queue AND agent_id > v_last;
        EXIT WHEN v_agent IS NULL OR NOT EXISTS (SELECT FROM queue_entry WHERE queue_id = p_queue AND state = 'waiting');
        PERFORM acd_match(p_tenant, p_now, p_agent => v_agent);
        v_last := v_agent;
    END LOOP;
END $$;
COMMENT ON FUNCTION acd_match_queue(integer, integer, timestamptz) IS 'Matches every ready agent of a queue.';
-- Call distribution: the transitions of a call, called by proxies and media hosts (docs/acd.md, section 3).

-- ------------------------------------------------------------------------------------------- parts

CREATE FUNCTION acd_order(p_queue queue, p_priority integer, p_since timestamptz, OUT class integer, OUT at timestamptz)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_queue.ageing_seconds IS NULL THEN
        class := p_queue.priority + p_priority;
        at := p_since;
    ELSE
        class := p_queue.priority;
        at := p_since - make_interval(secs => p_priority::double precision * p_queue.ageing_seconds);
    END IF;
END $$;
COMMENT ON FUNCTION acd_order(queue, integer, timestamptz) IS 'Place of an entry: higher class first, then the earlier time. callcore/call_queue.py caller_order computes the same.';

CREATE FUNCTION acd_staffed(p_tenant integer, p_queue integer, p_rule queue_staffing) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_rule = 'always' OR EXISTS (
        SELECT FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
        WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND a.state <> 'offline'
          AND (p_rule = 'logged_in' OR a.state <> 'paused'));
END $$;
COMMENT ON FUNCTION acd_staffed(integer, integer, queue_staffing) IS 'Whether a queue has the agents that a rule asks for.';

CREATE FUNCTION acd_refusal(p_entry queue_entry) RETURNS entry_end LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_reason entry_end;
BEGIN
    SELECT CASE WHEN NOT (q.enabled AND l.is_open) THEN 'closed'::entry_end
                WHEN NOT acd_staffed(q.tenant_id, q.queue_id, q.join_when) THEN 'empty'::entry_end END
    INTO STRICT v_reason
    FROM queue q JOIN queue_live l USING (tenant_id, queue_id)
    WHERE q.tenant_id = p_entry.tenant_id AND q.queue_id = p_entry.queue_id;
    RETURN v_reason;
END $$;
COMMENT ON FUNCTION acd_refusal(queue_entry) IS 'Why a queue does not take a newcomer: closed or empty; null: it does.';

CREATE FUNCTION acd_is_full(p_entry queue_entry) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
-- Callers who wait, this one among them; callbacks take no line.
DECLARE
    v_size integer;
BEGIN
    SELECT max_size INTO v_size FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    RETURN v_size IS NOT NULL AND v_size < (
        SELECT count(*) FROM queue_entry
        WHERE queue_id = p_entry.queue_id AND state = 'waiting' AND kind = 'call');
END $$;
COMMENT ON FUNCTION acd_is_full(queue_entry) IS 'Whether more callers wait than the queue allows.';

CREATE FUNCTION acd_end_entry(
    p_tenant integer, p_entry bigint, p_reason entry_end, p_by text, p_data jsonb, p_now timestamptz, p_tell boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry
    SET state = 'ended', state_at = p_now, ended_at = p_now, end_reason = p_reason, ended_by = p_by, due_at = NULL,
        waited_ms = coalesce(waited_ms, acd_ms(since, p_now))
    WHERE tenant_id = p_tenant AND entry_id = p_entry
    RETURNING * INTO STRICT e;
    DELETE FROM leg WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM acd_note(p_now, p_tenant, 'entry.end', e.queue_id, p_entry, NULL, e.agent_id, e.call_id, p_data || jsonb_build_object(
        'reason', p_reason, 'by', p_by, 'waited_seconds', e.waited_ms / 1000.0, 'talk_seconds', e.talk_ms / 1000.0,
        'kind', e.kind, 'caller', e.caller));
    IF p_tell AND e.holder = current_setting('acd.caller') THEN
        PERFORM acd_send(e.holder, p_tenant, 'ended', p_entry, NULL, jsonb_build_object(
            'end_reason', p_reason, 'waited_seconds', e.waited_ms / 1000.0, 'talk_seconds', e.talk_ms / 1000.0));
    END IF;
END $$;
COMMENT ON FUNCTION acd_end_entry(integer, bigint, entry_end, text, jsonb, timestamptz, boolean) IS 'Ends an entry that has no open offer.';

CREATE FUNCTION acd_move_entry(p_entry queue_entry, p_queue queue, p_by text, p_cause text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_entry
    SET queue_id = p_queue.queue_id, entered_at = p_now, hops = hops + 1, assigned_agent = NULL,
        leave_at = CASE kind WHEN 'call' THEN p_now + acd_seconds(p_queue.max_wait_seconds) END,
        order_class = (acd_order(p_queue, priority, since)).class, order_at = (acd_order(p_queue, priority, since)).at
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.move', p_queue.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id,
        jsonb_build_object('from', p_entry.queue_id, 'to', p_queue.queue_id, 'by', p_by, 'cause', p_cause,
                           'waited_seconds', acd_ms(p_entry.entered_at, p_now) / 1000.0));
    IF p_entry.anchored THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'move', p_entry.entry_id, NULL, jsonb_build_object(
            'settings', acd_settings(p_queue.tenant_id, p_queue.queue_id), 'reason', p_cause));
    END IF;
END $$;
COMMENT ON FUNCTION acd_move_entry(queue_entry, queue, text, text, timestamptz) IS 'Puts a waiting entry into another queue, with the time that it has waited.';

CREATE FUNCTION acd_leave(p_entry queue_entry, p_reason entry_end, p_by text, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
-- True: the overflow target is a queue and the entry is in it now; else the entry has ended.
DECLARE
    v_target jsonb;
    v_queue queue;
BEGIN
    SELECT overflow -> p_reason::text INTO v_target FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
    IF v_target ->> 'kind' = 'queue' AND p_entry.hops < 8 THEN
        SELECT * INTO v_queue FROM queue WHERE tenant_id = p_entry.tenant_id AND name = v_target ->> 'value';
        IF FOUND THEN
            PERFORM acd_move_entry(p_entry, v_queue, p_by, p_reason::text, p_now);
            RETURN true;
        END IF;
    END IF;
    PERFORM acd_end_entry(p_entry.tenant_id, p_entry.entry_id, p_reason, p_by, '{}', p_now, p_tell => false);
    IF p_entry.kind = 'call' OR p_entry.anchored THEN
        PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'leave', p_entry.entry_id, NULL, jsonb_build_object(
            'reason', p_reason, 'to_kind', v_target ->> 'kind', 'to', v_target ->> 'value',
            'announcement', coalesce(v_target ->> 'announcement', '')));
    END IF;
    RETURN false;
END $$;
COMMENT ON FUNCTION acd_leave(queue_entry, entry_end, text, timestamptz) IS 'An entry leaves its queue unserved, to the overflow target of the reason.';

CREATE FUNCTION acd_admit(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The size is looked at after matching: a queue of size 0 still gives calls to free agents.
DECLARE
    e queue_entry;
    v_reason entry_end;
BEGIN
    LOOP
        SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
        v_reason := acd_refusal(e);
        IF v_reason IS NULL THEN
            IF acd_may_ring(e) THEN
                PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
            END IF;
            SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
            EXIT WHEN e.state <> 'waiting' OR NOT acd_is_full(e);
            v_reason := 'full';
        END IF;
        EXIT WHEN NOT acd_leave(e, v_reason, 'system', p_now);
    END LOOP;
    PERFORM acd_tell_place(p_tenant, p_entry, p_now);
END $$;
COMMENT ON FUNCTION acd_admit(integer, bigint, timestamptz) IS 'A newcomer to a queue: matched, told his place, or sent where the queue''s overflow leads.';

CREATE FUNCTION acd_may_ring(p_entry queue_entry) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_entry.anchored OR p_entry.kind = 'callback' OR NOT (
        SELECT anchored FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id);
END $$;
COMMENT ON FUNCTION acd_may_ring(queue_entry) IS 'Whether who holds the call may ring an agent for it: a proxy not, when the queue needs a media host.';

CREATE FUNCTION acd_tell_place(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- A proxy cannot hold a caller: it brings him to a host, until then he keeps his place but is not matched.
DECLARE
    e queue_entry;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    IF e.state <> 'waiting' OR e.kind = 'callback' AND NOT e.anchored THEN
        RETURN;
    END IF;
    IF NOT e.anchored THEN
        UPDATE queue_entry SET state = 'arriving', state_at = p_now, due_at = p_now + interval '10 s'
        WHERE tenant_id = p_tenant AND entry_id = p_entry;
    END IF;
    PERFORM acd_send_place(e);
END $$;
COMMENT ON FUNCTION acd_tell_place(integer, bigint, timestamptz) IS 'Tells the holder of an entry that it waits.';

CREATE FUNCTION acd_send_place(p_entry queue_entry) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM acd_send(p_entry.holder, p_entry.tenant_id, 'wait', p_entry.entry_id, NULL, jsonb_build_object(
        'settings', acd_settings(p_entry.tenant_id, p_entry.queue_id),
        'position', (SELECT count(*) FROM queue_entry o
                     WHERE o.queue_id = p_entry.queue_id AND o.state = 'waiting'
                       AND (o.order_class > p_entry.order_class
                            OR o.order_class = p_entry.order_class AND (o.order_at, o.entry_id) < (p_entry.order_at, p_entry.entry_id))) + 1,
        'hosts', CASE WHEN p_entry.anchored THEN '[]' ELSE (
            SELECT coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'address', h.address)), '[]') FROM (SELECT * FROM acd_hosts() LIMIT 3) h) END));
END $$;
COMMENT ON FUNCTION acd_send_place(queue_entry) IS 'Sends wait, with place and (to a proxy) media hosts.';

CREATE FUNCTION acd_close_offer(
    p_offer offer, p_outcome offer_outcome, p_code integer, p_cause text, p_by text, p_now timestamptz, p_wrapup integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
-- p_wrapup null: the agent did not talk. Each outcome has its own delay, and its own count before he is paused.
DECLARE
    q queue;
    v_delay integer := 0;
    v_limit integer;
    v_count integer;
    v_talk bigint := CASE WHEN p_offer.joined_at IS NOT NULL THEN acd_ms(p_offer.joined_at, p_now) END;
    v_hold bigint := p_offer.hold_ms + coalesce(acd_ms(p_offer.held_since, p_now), 0);
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    CASE p_outcome
        WHEN 'no_answer' THEN v_delay := q.no_answer_delay_seconds; v_limit := q.no_answer_limit;
        WHEN 'rejected' THEN v_delay := q.reject_delay_seconds; v_limit := q.reject_limit;
        WHEN 'busy' THEN v_delay := q.busy_delay_seconds; v_limit := q.busy_limit;
        WHEN 'unreachable' THEN v_delay := q.unreachable_delay_seconds; v_limit := q.unreachable_limit;
        WHEN 'lost' THEN v_delay := 5;  -- his phone may still ring
        ELSE NULL;
    END CASE;
    UPDATE offer
    SET state = 'ended', ended_at = p_now, outcome = p_outcome, code = p_code, cause = p_cause, hung_up_by = p_by, deadline_at = NULL,
        ring_ms = coalesce(ring_ms, acd_ms(made_at, p_now)), talk_ms = v_talk, hold_ms = v_hold, held_since = NULL
    WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    UPDATE agent_live a
    SET offer_id = NULL, offer_state = NULL, event = CASE WHEN p_offer.state = 'answered' THEN 'call_end' ELSE 'offer_end' END,
        event_at = p_now, event_by = p_by,
        no_answers = no_answers + (p_outcome = 'no_answer')::integer, rejects = rejects + (p_outcome = 'rejected')::integer,
        busies = busies + (p_outcome = 'busy')::integer, unreachables = unreachables + (p_outcome = 'unreachable')::integer,
        not_before = CASE WHEN v_delay > 0 THEN greatest(not_before, p_now + acd_seconds(v_delay)) ELSE not_before END,
        wrapup_until = CASE WHEN p_wrapup > 0 THEN p_now + acd_seconds(p_wrapup) ELSE wrapup_until END,
        calls = calls + (p_outcome = 'answered')::integer, talk_seconds = talk_seconds + coalesce(v_talk, 0) / 1000,
        pause_reason = coalesce(pause_reason, CASE WHEN v_limit <= 1 + CASE p_outcome
            WHEN 'no_answer' THEN no_answers WHEN 'rejected' THEN rejects WHEN 'busy' THEN busies ELSE unreachables END
            THEN p_outcome::text END)
    WHERE a.tenant_id = p_offer.tenant_id AND a.agent_id = p_offer.agent_id AND a.offer_id = p_offer.offer_id;
    PERFORM acd_note(p_now, p_offer.tenant_id, 'offer.end', p_offer.queue_id, p_offer.entry_id, p_offer.offer_id, p_offer.agent_id, p_offer.call_id,
        jsonb_build_object('outcome', p_outcome, 'code', p_code, 'cause', p_cause, 'by', p_by, 'delay', v_delay,
            'ring_seconds', coalesce(p_offer.ring_ms, acd_ms(p_offer.made_at, p_now)) / 1000.0, 'talk_seconds', v_talk / 1000.0, 'hold_seconds', v_hold / 1000.0));
    IF p_outcome IN ('rejected', 'failed') THEN
        INSERT INTO rejection (tenant_id, caller, agent_id, until)
        VALUES (p_offer.tenant_id, acd_caller_key(p_offer.caller, p_offer.entry_id), p_offer.agent_id,
                p_now + acd_seconds(CASE p_outcome WHEN 'failed' THEN 60 ELSE q.reject_exclusion_seconds END))
        ON CONFLICT (tenant_id, caller, agent_id) DO UPDATE SET until = greatest(rejection.until, excluded.until);
    END IF;
    IF v_talk IS NOT NULL THEN
        UPDATE queue_entry SET talk_ms = talk_ms + v_talk WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id;
        UPDATE queue_live SET handle_seconds = coalesce(handle_seconds * 0.9, 0)
            + CASE WHEN handle_seconds IS NULL THEN 1 ELSE 0.1 END * (v_talk / 1000.0 + q.wrapup_seconds)
        WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    END IF;
END $$;
COMMENT ON FUNCTION acd_close_offer(offer, offer_outcome, integer, text, text, timestamptz, integer) IS 'Ends an offer: its outcome, the agent''s penalty, wrap-up and counters.';

CREATE FUNCTION acd_close_offers(
    p_tenant integer, p_entry bigint, p_outcome offer_outcome, p_cause text, p_by text, p_now timestamptz, p_keep bigint DEFAULT NULL
) RETURNS integer[] LANGUAGE plpgsql AS $$
-- A conversation ends as a conversation, whatever made it end.
DECLARE
    o offer;
    v_agents integer[] := '{}';
BEGIN
    FOR o IN SELECT * FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended'
                               AND offer_id IS DISTINCT FROM p_keep ORDER BY agent_id LOOP
        IF o.joined_at IS NOT NULL THEN
            PERFORM acd_close_offer(o, 'answered', NULL, p_cause, p_by, p_now,
                (SELECT wrapup_seconds FROM queue WHERE tenant_id = p_tenant AND queue_id = o.queue_id));
        ELSE
            PERFORM acd_close_offer(o, p_outcome, NULL, p_cause, p_by, p_now);
        END IF;
        PERFORM acd_send(o.holder, p_tenant, 'cancel_offer', p_entry, o.offer_id, jsonb_build_object('reason', p_cause))
        WHERE o.joined_at IS NULL OR o.holder <> current_setting('acd.caller');
        v_agents := v_agents || o.agent_id;
    END LOOP;
    RETURN v_agents;
END $$;
COMMENT ON FUNCTION acd_close_offers(integer, bigint, offer_outcome, text, text, timestamptz, bigint) IS 'Ends the open offers of an entry (one may be kept) and tells the hosts; returns the agents, who are to be matched.';

CREATE FUNCTION acd_match_agents(p_tenant integer, p_agents integer[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_agent integer;
BEGIN
    FOREACH v_agent IN ARRAY p_agents LOOP
        PERFORM acd_match(p_tenant, p_now, p_agent => v_agent);
    END LOOP;
END $$;
COMMENT ON FUNCTION acd_match_agents(integer, integer[], timestamptz) IS 'Matches agents who may have become free.';

CREATE FUNCTION acd_rewait(p_tenant integer, p_entry bigint, p_cause text, p_retry integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry
    SET state = 'waiting', state_at = p_now, assigned_agent = NULL, not_before = CASE WHEN p_retry > 0 THEN p_now + acd_seconds(p_retry) END,
        -- A callback that nobody is on the line of may go on at another host.
        holder = CASE WHEN kind = 'callback' AND NOT anchored THEN NULL ELSE holder END
    WHERE tenant_id = p_tenant AND entry_id = p_entry
    RETURNING * INTO STRICT e;
    PERFORM acd_note(p_now, p_tenant, 'entry.wait', e.queue_id, p_entry, NULL, NULL, e.call_id, jsonb_build_object('cause', p_cause));
    IF e.leave_at <= p_now AND e.kind = 'call' THEN
        IF acd_leave(e, 'timeout', 'system', p_now) THEN
            PERFORM acd_admit(p_tenant, p_entry, p_now);
        END IF;
        RETURN;
    END IF;
    -- Nobody listens for commands to a proxy: it gets its next agent only in a reply.
    IF acd_may_ring(e) AND (e.anchored OR e.kind = 'callback' OR e.holder = current_setting('acd.caller')) THEN
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
    END IF;
    PERFORM acd_tell_place(p_tenant, p_entry, p_now);
END $$;
COMMENT ON FUNCTION acd_rewait(integer, bigint, text, integer, timestamptz) IS 'An entry without open offers waits again, with its place: next agent, or wait.';

-- ---------------------------------------------------------------------------------------------- enter

CREATE FUNCTION acd_new_entry(
    p_tenant integer, p_queue integer, p_call uuid, p_holder text, p_anchored boolean, p_caller text, p_options jsonb, p_now timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    q queue;
    v_priority integer := coalesce((p_options ->> 'priority')::integer, 0);
    v_since timestamptz := least(p_now, coalesce((p_options ->> 'since')::timestamptz, p_now));
    v_sticky integer;
    v_entry bigint;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    IF q.sticky_seconds IS NOT NULL AND p_caller <> '' THEN
        SELECT agent_id INTO v_sticky
        FROM last_agent JOIN agent_live a USING (tenant_id, agent_id)
        WHERE tenant_id = p_tenant AND caller = p_caller AND at > p_now - make_interval(days => q.sticky_days)
          AND a.state NOT IN ('offline', 'paused')
          AND EXISTS (SELECT FROM queue_member m WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND m.agent_id = a.agent_id);
    END IF;
    INSERT INTO queue_entry (tenant_id, queue_id, state, call_id, caller, caller_name, priority, since, entered_at, order_class, order_at,
                             holder, anchored, proxy, state_at, leave_at, assigned_agent, sticky_agent, sticky_until, variables)
    VALUES (p_tenant, p_queue, 'waiting', p_call, p_caller, coalesce(p_options ->> 'caller_name', ''), v_priority, v_since, p_now,
            (acd_order(q, v_priority, v_since)).class, (acd_order(q, v_priority, v_since)).at, p_holder, p_anchored, p_options ->> 'proxy',
            p_now, p_now + acd_seconds(q.max_wait_seconds), (p_options ->> 'agent')::integer,
            v_sticky, CASE WHEN v_sticky IS NOT NULL THEN v_since + acd_seconds(q.sticky_seconds) END, coalesce(p_options -> 'variables', '{}'))
    RETURNING entry_id INTO v_entry;
    PERFORM acd_note(p_now, p_tenant, 'entry.enter', p_queue, v_entry, NULL, NULL, p_call, jsonb_build_object(
        'caller', p_caller, 'priority', q.priority + v_priority, 'since', v_since, 'anchored', p_anchored, 'sticky', v_sticky));
    RETURN v_entry;
END $$;
COMMENT ON FUNCTION acd_new_entry(integer, integer, uuid, text, boolean, text, jsonb, timestamptz) IS 'Makes a waiting entry; not matched yet.';

CREATE FUNCTION acd_enter_again(p_entry queue_entry, p_holder text, p_anchored boolean, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The call is known: a retry of the same node, or a media host that takes over from a proxy or from another host.
DECLARE
    v_agents integer[] := '{}';
BEGIN
    IF p_entry.holder = p_holder AND p_entry.state = 'offered' THEN
        PERFORM acd_send(p_holder, p_entry.tenant_id, 'offer_agent', p_entry.entry_id, o.offer_id, acd_offer_data(p_entry, q, o.agent_id, o.forced, p_now))
        FROM offer o JOIN queue q USING (tenant_id, queue_id)
        WHERE o.tenant_id = p_entry.tenant_id AND o.entry_id = p_entry.entry_id AND o.state <> 'ended';
    ELSIF p_entry.holder = p_holder AND p_entry.state IN ('waiting', 'arriving') AND p_entry.anchored = p_anchored THEN
        PERFORM acd_send_place(p_entry);
    ELSIF p_entry.state <> 'talking' THEN
        IF p_entry.state = 'offered' THEN
            v_agents := acd_close_offers(p_entry.tenant_id, p_entry.entry_id, 'cancelled', 'another node has the call now', 'system', p_now);
        END IF;
        UPDATE queue_entry SET state = 'waiting', state_at = p_now, holder = p_holder, anchored = p_anchored, missing_since = NULL
        WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.adopt', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id,
                         jsonb_build_object('from', p_entry.holder, 'to', p_holder));
        PERFORM acd_match(p_entry.tenant_id, p_now, p_entry => p_entry.entry_id) WHERE p_anchored;
        PERFORM acd_tell_place(p_entry.tenant_id, p_entry.entry_id, p_now);
        PERFORM acd_match_agents(p_entry.tenant_id, v_agents, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_enter_again(queue_entry, text, boolean, timestamptz) IS 'acd_enter for a call that has an entry already.';

CREATE FUNCTION acd_return(p_entry queue_entry, p_call uuid, p_holder text, p_anchored boolean, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue_entry SET state = 'waiting', state_at = p_now, call_id = p_call, holder = p_holder, anchored = p_anchored, missing_since = NULL, due_at = NULL
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.return', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_call,
        jsonb_build_object('call_before', p_entry.call_id, 'since', p_entry.since, 'caller', p_entry.caller));
    PERFORM acd_match(p_entry.tenant_id, p_now, p_entry => p_entry.entry_id)
    FROM queue_entry e WHERE e.tenant_id = p_entry.tenant_id AND e.entry_id = p_entry.entry_id AND acd_may_ring(e);
    PERFORM acd_tell_place(p_entry.tenant_id, p_entry.entry_id, p_now);
END $$;
COMMENT ON FUNCTION acd_return(queue_entry, uuid, text, boolean, timestamptz) IS 'A caller whose call was lost redials and finds his place.';

CREATE FUNCTION acd_enter(
    p_tenant integer, p_queue integer, p_call uuid, p_holder text, p_anchored boolean, p_caller text, p_options jsonb DEFAULT '{}'
) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant, p_holder);
    e queue_entry;
    v_entry bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE call_id = p_call AND state <> 'ended' AND kind = 'call' AND tenant_id = p_tenant;
    IF FOUND THEN
        v_entry := e.entry_id;
        PERFORM acd_enter_again(e, p_holder, p_anchored, v_now);
    ELSE
        SELECT * INTO e FROM queue_entry WHERE queue_id = p_queue AND caller = p_caller AND state = 'lost' AND caller <> '' AND tenant_id = p_tenant
        ORDER BY since LIMIT 1;
        IF FOUND THEN
            v_entry := e.entry_id;
            PERFORM acd_return(e, p_call, p_holder, p_anchored, v_now);
        ELSE
            v_entry := acd_new_entry(p_tenant, p_queue, p_call, p_holder, p_anchored, p_caller, p_options, v_now);
            PERFORM acd_admit(p_tenant, v_entry, v_now);
        END IF;
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, v_entry);
END $$;
COMMENT ON FUNCTION acd_enter(integer, integer, uuid, text, boolean, text, jsonb) IS 'A call comes to a queue: offer_agent, wait or leave. Idempotent by call.';
-- Call distribution: what happens to offers and to entries that have them (docs/acd.md, section 3).

CREATE FUNCTION acd_too_late(p_tenant integer, p_offer bigint) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Who reports late may hold a caller who waits again: a proxy must bring him to a host then.
DECLARE
    e queue_entry;
    o offer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    IF e.state IN ('waiting', 'arriving') AND e.holder = current_setting('acd.caller') AND NOT e.anchored THEN
        PERFORM acd_send_place(e);
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', o.entry_id, p_offer,
                         jsonb_build_object('reason', coalesce(o.outcome::text, 'unknown'), 'cause', coalesce(o.cause, '')));
    END IF;
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_too_late(integer, bigint) IS 'The reply for an offer that is over.';

CREATE FUNCTION acd_keep_legs(p_offer offer, p_legs jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leg (tenant_id, sip_call_id, tag, remote_tag, entry_id, offer_id, kind, holder)
    SELECT p_offer.tenant_id, l ->> 'sip_call_id', l ->> 'local_tag', coalesce(l ->> 'remote_tag', ''), p_offer.entry_id, p_offer.offer_id,
           l ->> 'kind', p_offer.holder
    FROM jsonb_array_elements(p_legs) AS l
    WHERE l ? 'local_tag'
    ON CONFLICT (tenant_id, sip_call_id, tag) DO UPDATE SET offer_id = excluded.offer_id, remote_tag = excluded.remote_tag;
END $$;
COMMENT ON FUNCTION acd_keep_legs(offer, jsonb) IS 'Remembers dialogs for Replaces.';

CREATE FUNCTION acd_set_joined(p_entry queue_entry, p_offer offer, p_data jsonb, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE offer SET joined_at = p_now, deadline_at = NULL WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    UPDATE queue_entry
    SET state = 'talking', state_at = p_now, answered_at = coalesce(answered_at, p_now), agent_id = p_offer.agent_id, due_at = NULL, assigned_agent = NULL,
        waited_ms = coalesce(waited_ms, acd_ms(since, p_now))
    WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
    PERFORM acd_note(p_now, p_entry.tenant_id, 'offer.join', p_entry.queue_id, p_entry.entry_id, p_offer.offer_id, p_offer.agent_id, p_entry.call_id,
        jsonb_build_object('waited_seconds', acd_ms(p_entry.since, p_now) / 1000.0));
    IF p_entry.caller <> '' AND (SELECT sticky_seconds FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id) IS NOT NULL THEN
        INSERT INTO last_agent (tenant_id, caller, agent_id, at) VALUES (p_entry.tenant_id, p_entry.caller, p_offer.agent_id, p_now)
        ON CONFLICT (tenant_id, caller) DO UPDATE SET agent_id = excluded.agent_id, at = excluded.at;
    END IF;
    PERFORM acd_send(p_offer.holder, p_entry.tenant_id, 'join', p_entry.entry_id, p_offer.offer_id, p_data);
END $$;
COMMENT ON FUNCTION acd_set_joined(queue_entry, offer, jsonb, timestamptz) IS 'Caller and agent hear each other.';

CREATE FUNCTION acd_answer(p_tenant integer, p_offer bigint, p_legs jsonb DEFAULT '[]', p_joined boolean DEFAULT true)
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    e queue_entry;
    q queue;
    v_data jsonb;
    v_freed integer[];
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS NULL OR o.state = 'ended' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    v_data := acd_offer_data(e, q, o.agent_id, o.forced, v_now);
    IF o.state = 'answered' THEN  -- asked again, because the reply was lost
        PERFORM acd_send(o.holder, p_tenant, 'join', e.entry_id, p_offer, v_data);
    ELSE
        UPDATE offer
        SET state = 'answered', answered_at = v_now, ring_ms = acd_ms(made_at, v_now), deadline_at = v_now + acd_seconds(greatest(60, q.callback_ring_seconds + 10)),
            agent_sip_call_id = (SELECT l ->> 'sip_call_id' FROM jsonb_array_elements(p_legs) l WHERE l ->> 'kind' = 'agent' LIMIT 1)
        WHERE tenant_id = p_tenant AND offer_id = p_offer RETURNING * INTO o;
        UPDATE agent_live
        SET offer_state = 'answered', event = 'answer', event_at = v_now, event_by = '', no_answers = 0, rejects = 0, busies = 0, unreachables = 0, not_before = NULL
        WHERE tenant_id = p_tenant AND agent_id = o.agent_id;
        PERFORM acd_note(v_now, p_tenant, 'offer.answer', e.queue_id, e.entry_id, p_offer, o.agent_id, e.call_id, jsonb_build_object('ring_seconds', o.ring_ms / 1000.0));
        v_freed := acd_close_offers(p_tenant, e.entry_id, 'cancelled', 'another agent answered', 'system', v_now, p_keep => p_offer);
        PERFORM acd_keep_legs(o, p_legs) WHERE p_legs <> '[]';
        IF e.kind = 'callback' AND NOT e.anchored THEN
            PERFORM acd_send(o.holder, p_tenant, 'dial', e.entry_id, p_offer, acd_dial_data(e, q));
        ELSIF p_joined THEN
            PERFORM acd_set_joined(e, o, v_data, v_now);
        ELSE
            PERFORM acd_send(o.holder, p_tenant, 'join', e.entry_id, p_offer, v_data);
        END IF;
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, e.entry_id);
END $$;
COMMENT ON FUNCTION acd_answer(integer, bigint, jsonb, boolean) IS 'An agent answered: join if his offer is still open, cancel_offer for the others; else too_late.';

CREATE FUNCTION acd_joined(p_tenant integer, p_offer bigint) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS DISTINCT FROM 'answered' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = o.entry_id;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF o.joined_at IS NULL THEN
        PERFORM acd_set_joined(e, o, acd_offer_data(e, q, o.agent_id, o.forced, v_now), v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, e.entry_id);
END $$;
COMMENT ON FUNCTION acd_joined(integer, bigint) IS 'The agent who answered and the caller hear each other now (after a whisper).';

CREATE FUNCTION acd_outcome(p_tenant integer, p_offer bigint, p_outcome offer_outcome, p_code integer DEFAULT NULL, p_cause text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Also for an agent who answered and hung up before he was joined.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    q queue;
BEGIN
    IF p_outcome = 'answered' THEN
        RAISE EXCEPTION 'an answer is told by acd_answer';
    END IF;
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS NULL OR o.state = 'ended' OR o.joined_at IS NOT NULL THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    PERFORM acd_fail_offer(o, p_outcome, p_code, p_cause, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_outcome(integer, bigint, offer_outcome, integer, text) IS 'An agent did not take the call: his penalty, and what the caller gets now.';

CREATE FUNCTION acd_fail_offer(p_offer offer, p_outcome offer_outcome, p_code integer, p_cause text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_retry integer;
BEGIN
    PERFORM acd_close_offer(p_offer, p_outcome, p_code, p_cause, 'agent', p_now);
    IF NOT EXISTS (SELECT FROM offer WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id AND state <> 'ended') THEN
        SELECT retry_seconds INTO v_retry FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
        PERFORM acd_rewait(p_offer.tenant_id, p_offer.entry_id, p_outcome::text, v_retry, p_now);
    END IF;
    PERFORM acd_match(p_offer.tenant_id, p_now, p_agent => p_offer.agent_id);
END $$;
COMMENT ON FUNCTION acd_fail_offer(offer, offer_outcome, integer, text, timestamptz) IS 'Ends an offer without an answer; the entry waits again when it was the last one.';

CREATE FUNCTION acd_finish(p_tenant integer, p_offer bigint, p_by text, p_cause text DEFAULT '', p_next text DEFAULT 'end', p_data jsonb DEFAULT '{}')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
    v_wrapup integer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND offer_id = p_offer;
    PERFORM set_config('acd.caller', coalesce(o.holder, '?'), true);
    IF o.state IS DISTINCT FROM 'answered' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_too_late(p_tenant, p_offer);
        RETURN;
    END IF;
    SELECT wrapup_seconds INTO STRICT v_wrapup FROM queue WHERE tenant_id = p_tenant AND queue_id = o.queue_id;
    PERFORM acd_close_offer(o, 'answered', NULL, p_cause, p_by, v_now, v_wrapup);
    IF p_next = 'queue' THEN
        PERFORM acd_rewait(p_tenant, o.entry_id, 'the agent left', 0, v_now);
    ELSE
        PERFORM acd_end_entry(p_tenant, o.entry_id, 'served', p_by, p_data || jsonb_build_object('cause', p_cause), v_now);
    END IF;
    PERFORM acd_match(p_tenant, v_now, p_agent => o.agent_id);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_finish(integer, bigint, text, text, text, jsonb) IS 'The conversation with an agent is over: wrap-up for him; the entry ends, or waits again.';

CREATE FUNCTION acd_end(p_tenant integer, p_entry bigint, p_reason entry_end, p_data jsonb DEFAULT '{}') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF e.state IS NULL OR e.state = 'ended' THEN
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    v_freed := acd_close_offers(p_tenant, p_entry, 'caller_gone', 'the caller is gone', coalesce(p_data ->> 'by', 'caller'), v_now);
    IF e.state = 'talking' THEN
        PERFORM acd_end_entry(p_tenant, p_entry, CASE p_reason WHEN 'abandoned' THEN 'served' ELSE p_reason END, coalesce(p_data ->> 'by', 'caller'), p_data, v_now);
    ELSIF p_reason IN ('abandoned', 'served', 'host_lost', 'cancelled') THEN
        PERFORM acd_end_entry(p_tenant, p_entry, p_reason, coalesce(p_data ->> 'by', 'caller'), p_data, v_now);
    ELSE
        PERFORM acd_leave_by(p_tenant, p_entry, p_reason, coalesce(p_data ->> 'by', 'caller'), v_now);
    END IF;
    PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_end(integer, bigint, entry_end, jsonb) IS 'The caller is gone, or leaves for a reason, in whatever state he is.';

CREATE FUNCTION acd_leave_by(p_tenant integer, p_entry bigint, p_reason entry_end, p_by text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The entry may have had offers, which are closed; it must be waiting to be moved by its overflow.
DECLARE
    e queue_entry;
BEGIN
    UPDATE queue_entry SET state = 'waiting', state_at = p_now WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO STRICT e;
    IF acd_leave(e, p_reason, p_by, p_now) THEN
        PERFORM acd_admit(p_tenant, p_entry, p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_leave_by(integer, bigint, entry_end, text, timestamptz) IS 'An entry without open offers leaves its queue; if that leads to another queue, it is matched there.';

CREATE FUNCTION acd_requeue(p_tenant integer, p_entry bigint, p_cause text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF e.state IN ('offered', 'talking') THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', p_cause, 'system', v_now);
        PERFORM acd_rewait(p_tenant, p_entry, p_cause, 0, v_now);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    ELSIF e.state IN ('waiting', 'arriving') THEN
        PERFORM acd_send_place(e);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_requeue(integer, bigint, text) IS 'The caller waits again, with his place.';

CREATE FUNCTION acd_hold(p_tenant integer, p_offer bigint, p_side text, p_on boolean) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    o offer;
BEGIN
    UPDATE offer
    SET hold_ms = hold_ms + CASE WHEN NOT p_on THEN coalesce(acd_ms(held_since, v_now), 0) ELSE 0 END,
        held_since = CASE WHEN p_on THEN coalesce(held_since, v_now) END
    WHERE tenant_id = p_tenant AND offer_id = p_offer AND state = 'answered' RETURNING * INTO o;
    IF FOUND THEN
        PERFORM acd_note(v_now, p_tenant, CASE WHEN p_on THEN 'call.hold' ELSE 'call.unhold' END, o.queue_id, o.entry_id, p_offer, o.agent_id, o.call_id,
                         jsonb_build_object('side', p_side));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, o.entry_id);
END $$;
COMMENT ON FUNCTION acd_hold(integer, bigint, text, boolean) IS 'A side of a conversation holds the other, or no more.';

CREATE FUNCTION acd_survey(p_tenant integer, p_entry bigint, p_score integer) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
BEGIN
    UPDATE queue_entry SET survey = p_score WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO STRICT e;
    PERFORM acd_note(v_now, p_tenant, 'call.survey', e.queue_id, p_entry, NULL, e.agent_id, e.call_id, jsonb_build_object('score', p_score));
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_survey(integer, bigint, integer) IS 'The caller''s mark of the conversation, 1 to 5.';
-- Call distribution: commands, deadlines, reconciliation (docs/acd.md, sections 4 and 5).

-- --------------------------------------------------------------------------------------------- commands

CREATE FUNCTION acd_take(p_holder text, p_most integer DEFAULT 100) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- An offer that ended before its host took it is not rung at all.
DECLARE
    v_now timestamptz;
    v_ids bigint[];
    v_tenant integer;
    o record;
BEGIN
    FOR v_tenant IN SELECT DISTINCT tenant_id FROM host_command WHERE host = p_holder AND taken_at IS NULL ORDER BY 1 LOOP
        PERFORM acd_begin(v_tenant, p_holder);
    END LOOP;
    IF v_tenant IS NULL THEN
        RETURN;
    END IF;
    v_now := clock_timestamp();
    v_ids := ARRAY(SELECT command_id FROM host_command WHERE host = p_holder AND taken_at IS NULL ORDER BY command_id LIMIT p_most);
    UPDATE host_command SET taken_at = v_now WHERE command_id = ANY (v_ids);
    FOR o IN
        UPDATE offer f SET state = 'ringing', rung_at = v_now, deadline_at = v_now + acd_seconds(q.ring_seconds + 5)
        FROM host_command c, queue q
        WHERE c.command_id = ANY (v_ids) AND c.kind = 'offer_agent' AND f.tenant_id = c.tenant_id AND f.offer_id = c.offer_id
          AND f.state = 'reserved' AND q.tenant_id = f.tenant_id AND q.queue_id = f.queue_id
        RETURNING f.tenant_id, f.offer_id, f.agent_id
    LOOP
        UPDATE agent_live SET offer_state = 'ringing', event = 'ring', event_at = v_now, event_by = ''
        WHERE tenant_id = o.tenant_id AND agent_id = o.agent_id AND offer_id = o.offer_id;
    END LOOP;
    PERFORM acd_finish_transition(v_tenant, false);
    RETURN QUERY
    SELECT c.command_id, c.tenant_id, c.kind, c.entry_id, c.offer_id, c.data
    FROM host_command c
    LEFT JOIN offer f ON f.tenant_id = c.tenant_id AND f.offer_id = c.offer_id
    WHERE c.command_id = ANY (v_ids) AND (c.kind NOT IN ('offer_agent', 'dial') OR f.state <> 'ended')
    ORDER BY c.command_id;
END $$;
COMMENT ON FUNCTION acd_take(text, integer) IS 'What a node must do and has not taken yet; offers among it are ringing from now.';

CREATE FUNCTION acd_done(p_id bigint, p_error text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE host_command SET done_at = clock_timestamp(), error = p_error WHERE command_id = p_id;
    PERFORM set_config('synchronous_commit', 'off', true);
END $$;
COMMENT ON FUNCTION acd_done(bigint, text) IS 'How a command of a supervisor went.';

CREATE FUNCTION acd_positions(p_holder text)
RETURNS TABLE (entry_id bigint, queue_id integer, "position" integer, waiting integer,
               ewt_seconds double precision, ewt_low_seconds double precision, ewt_high_seconds double precision)
LANGUAGE plpgsql STABLE AS $$
-- position x average handle time / agents staffed. In a jam nobody's call ends for long: then the age of the calls
-- that go on counts, when it is more than the average.
BEGIN
    RETURN QUERY
    WITH queues AS (SELECT DISTINCT e.tenant_id, e.queue_id FROM queue_entry e WHERE e.holder = p_holder AND e.state = 'waiting'),
    facts AS (
        SELECT u.queue_id,
               greatest(coalesce(l.handle_seconds, 180), coalesce((
                   SELECT avg(extract(epoch FROM clock_timestamp() - f.joined_at)) FROM queue_entry t JOIN offer f USING (tenant_id, entry_id)
                   WHERE t.tenant_id = u.tenant_id AND t.queue_id = u.queue_id AND t.state = 'talking' AND f.state = 'answered'), 0)) AS handle,
               (SELECT count(*) FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
                WHERE m.tenant_id = u.tenant_id AND m.queue_id = u.queue_id AND a.state NOT IN ('offline', 'paused')) AS staffed
        FROM queues u JOIN queue_live l ON l.tenant_id = u.tenant_id AND l.queue_id = u.queue_id),
    placed AS (
        SELECT e.entry_id, e.queue_id, e.holder,
               row_number() OVER (PARTITION BY e.queue_id ORDER BY e.order_class DESC, e.order_at, e.entry_id)::integer AS place,
               count(*) OVER (PARTITION BY e.queue_id)::integer AS waiting
        FROM queue_entry e WHERE e.state = 'waiting' AND e.queue_id IN (SELECT u.queue_id FROM queues u)),
    expected AS (
        SELECT p.*, CASE WHEN f.staffed > 0 THEN greatest(0, p.place * f.handle / f.staffed) END::double precision AS ewt
        FROM placed p JOIN facts f USING (queue_id) WHERE p.holder = p_holder)
    SELECT x.entry_id, x.queue_id, x.place, x.waiting, x.ewt, x.ewt * 0.75, x.ewt * 1.25 FROM expected x ORDER BY x.queue_id, x.place;
END $$;
COMMENT ON FUNCTION acd_positions(text) IS 'Place and expected wait of everybody who waits at a host; null wait: nobody staffs the queue.';

-- --------------------------------------------------------------------------------------------- deadlines

CREATE FUNCTION acd_next_deadline() RETURNS double precision LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN extract(epoch FROM least(
        (SELECT min(due_at) FROM agent_live WHERE due_at IS NOT NULL),
        (SELECT min(due_at) FROM queue_entry WHERE due_at IS NOT NULL),
        (SELECT min(deadline_at) FROM offer WHERE deadline_at IS NOT NULL),
        (SELECT min(until) FROM rejection)) - clock_timestamp());
END $$;
COMMENT ON FUNCTION acd_next_deadline() IS 'Seconds until something is due, negative when it is overdue; null: nothing will be.';

CREATE FUNCTION acd_due() RETURNS SETOF integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    SELECT tenant_id FROM agent_live WHERE due_at <= v_now
    UNION SELECT tenant_id FROM queue_entry WHERE due_at <= v_now
    UNION SELECT tenant_id FROM offer WHERE deadline_at <= v_now
    UNION SELECT tenant_id FROM rejection WHERE until <= v_now;
END $$;
COMMENT ON FUNCTION acd_due() IS 'Tenants with something due.';

CREATE FUNCTION acd_tick(p_tenant integer) RETURNS integer LANGUAGE plpgsql AS $$
-- At most some hundred transitions, so that calls get their turn; who calls repeats it until 0 comes back.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_count integer := 0;
    v_agent integer;
    o offer;
    e queue_entry;
BEGIN
    FOR v_agent IN SELECT agent_id FROM agent_live WHERE due_at <= v_now AND tenant_id = p_tenant ORDER BY due_at LIMIT 100 LOOP
        UPDATE agent_live
        SET wrapup_until = CASE WHEN wrapup_until > v_now THEN wrapup_until END, not_before = CASE WHEN not_before > v_now THEN not_before END,
            event = 'time', event_at = v_now, event_by = 'system'
        WHERE tenant_id = p_tenant AND agent_id = v_agent;
        PERFORM acd_match(p_tenant, v_now, p_agent => v_agent);
        v_count := v_count + 1;
    END LOOP;
    FOR o IN SELECT * FROM offer WHERE deadline_at <= v_now AND tenant_id = p_tenant ORDER BY deadline_at LIMIT 100 LOOP
        PERFORM acd_offer_due(o, v_now);
        v_count := v_count + 1;
    END LOOP;
    FOR e IN SELECT * FROM queue_entry WHERE due_at <= v_now AND tenant_id = p_tenant ORDER BY order_class DESC, order_at, entry_id LIMIT 100 LOOP
        PERFORM acd_entry_due(p_tenant, e.entry_id, v_now);
        v_count := v_count + 1;
    END LOOP;
    FOR v_agent IN DELETE FROM rejection WHERE until <= v_now AND tenant_id = p_tenant RETURNING agent_id LOOP
        PERFORM acd_match(p_tenant, v_now, p_agent => v_agent);
        v_count := v_count + 1;
    END LOOP;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_tick(integer) IS 'Does what is due in a tenant; returns how many transitions that were.';

CREATE FUNCTION acd_repair(p_tenant integer, p_what text, p_cause text, p_queue integer, p_entry bigint, p_offer bigint, p_agent integer, p_call uuid, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM acd_note(p_now, p_tenant, 'repair', p_queue, p_entry, p_offer, p_agent, p_call, jsonb_build_object('what', p_what, 'cause', p_cause));
END $$;
COMMENT ON FUNCTION acd_repair(integer, text, text, integer, bigint, bigint, integer, uuid, timestamptz) IS 'Writes the event of a repair.';

CREATE FUNCTION acd_offer_due(p_offer offer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- The holder tells outcomes itself, five seconds earlier: one that has not is gone or has lost our reply.
DECLARE
    o offer;
BEGIN
    SELECT * INTO o FROM offer WHERE tenant_id = p_offer.tenant_id AND offer_id = p_offer.offer_id;
    IF o.state = 'ended' OR o.deadline_at IS NULL OR o.deadline_at > p_now THEN
        RETURN;
    END IF;
    PERFORM acd_repair(o.tenant_id, 'offer', 'no word about it in time while ' || o.state, o.queue_id, o.entry_id, o.offer_id, o.agent_id, o.call_id, p_now);
    PERFORM acd_send(o.holder, o.tenant_id, 'cancel_offer', o.entry_id, o.offer_id, '{"reason": "deadline"}')
    FROM queue_entry e WHERE e.tenant_id = o.tenant_id AND e.entry_id = o.entry_id AND (e.anchored OR e.kind = 'callback');
    IF EXISTS (SELECT FROM queue_entry WHERE tenant_id = o.tenant_id AND entry_id = o.entry_id AND kind = 'callback' AND NOT anchored)
       AND (o.state = 'answered' OR o.rung_at IS NULL) THEN
        PERFORM acd_dial_failed(o, 'lost', NULL, p_now);
    ELSE
        PERFORM acd_fail_offer(o, 'lost', NULL, 'deadline', p_now);
    END IF;
END $$;
COMMENT ON FUNCTION acd_offer_due(offer, timestamptz) IS 'An offer whose deadline has come.';

CREATE FUNCTION acd_entry_due(p_tenant integer, p_entry bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e queue_entry;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    IF e.due_at IS NULL OR e.due_at > p_now THEN
        RETURN;
    ELSIF e.state = 'arriving' THEN
        PERFORM acd_repair(p_tenant, 'entry', 'no media host took the call', e.queue_id, p_entry, NULL, NULL, e.call_id, p_now);
        PERFORM acd_end_entry(p_tenant, p_entry, 'failed', 'system', '{}', p_now);
    ELSIF e.state = 'lost' THEN
        PERFORM acd_end_entry(p_tenant, p_entry, 'host_lost', 'system', '{}', p_now);
    ELSIF e.expires_at <= p_now AND e.state = 'waiting' AND NOT e.anchored THEN
        PERFORM acd_end_entry(p_tenant, p_entry, 'expired', 'system', '{}', p_now);
    ELSIF e.state <> 'waiting' THEN
        UPDATE queue_entry SET due_at = NULL WHERE tenant_id = p_tenant AND entry_id = p_entry;
    ELSIF e.leave_at <= p_now THEN
        PERFORM acd_leave_by(p_tenant, p_entry, 'timeout', 'system', p_now);
    ELSIF e.kind = 'call' AND NOT acd_staffed(p_tenant, e.queue_id, (SELECT stay_when FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id)) THEN
        PERFORM acd_leave_by(p_tenant, p_entry, 'empty', 'system', p_now);
    ELSE
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
        -- What matching leaves alone (a delay that runs) is looked at again, but never in a busy loop.
        UPDATE queue_entry SET due_at = greatest(due_at, p_now + interval '50 ms')
        WHERE tenant_id = p_tenant AND entry_id = p_entry AND due_at <= p_now;
    END IF;
END $$;
COMMENT ON FUNCTION acd_entry_due(integer, bigint, timestamptz) IS 'An entry at whose due time somebody must look.';

-- ------------------------------------------------------------------------------------------- media hosts

CREATE FUNCTION acd_lose_entry(p_entry queue_entry, p_cause text, p_now timestamptz) RETURNS integer[] LANGUAGE plpgsql AS $$
-- Who waited keeps his place for the grace time; a callback waits on by itself; a conversation is over.
DECLARE
    v_freed integer[];
    v_grace integer;
BEGIN
    PERFORM acd_repair(p_entry.tenant_id, 'entry', p_cause, p_entry.queue_id, p_entry.entry_id, NULL, p_entry.agent_id, p_entry.call_id, p_now);
    v_freed := acd_close_offers(p_entry.tenant_id, p_entry.entry_id, 'lost', p_cause, 'system', p_now);
    IF p_entry.state = 'talking' THEN
        PERFORM acd_end_entry(p_entry.tenant_id, p_entry.entry_id, 'host_lost', 'system', jsonb_build_object('cause', p_cause), p_now);
    ELSIF p_entry.kind = 'callback' THEN
        UPDATE queue_entry SET anchored = false, missing_since = NULL WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_rewait(p_entry.tenant_id, p_entry.entry_id, p_cause, 1, p_now);
    ELSIF p_entry.state IN ('waiting', 'offered') THEN
        SELECT grace_seconds INTO STRICT v_grace FROM queue WHERE tenant_id = p_entry.tenant_id AND queue_id = p_entry.queue_id;
        UPDATE queue_entry SET state = 'lost', state_at = p_now, due_at = p_now + acd_seconds(v_grace), missing_since = NULL
        WHERE tenant_id = p_entry.tenant_id AND entry_id = p_entry.entry_id;
        PERFORM acd_note(p_now, p_entry.tenant_id, 'entry.lost', p_entry.queue_id, p_entry.entry_id, NULL, NULL, p_entry.call_id, jsonb_build_object('cause', p_cause));
    END IF;
    RETURN v_freed;
END $$;
COMMENT ON FUNCTION acd_lose_entry(queue_entry, text, timestamptz) IS 'The call of an entry is gone with its host; returns the agents whom it held.';

CREATE FUNCTION acd_lose_host(p_holder text, p_cause text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
    v_tenant integer;
    v_count integer := 0;
    v_freed integer[];
    e queue_entry;
BEGIN
    FOR v_tenant IN SELECT DISTINCT tenant_id FROM queue_entry WHERE holder = p_holder AND state <> 'ended' ORDER BY 1 LOOP
        v_now := acd_begin(v_tenant);
        v_freed := '{}';
        PERFORM acd_note(v_now, v_tenant, 'host.lost', NULL, NULL, NULL, NULL, NULL, jsonb_build_object('host', p_holder, 'cause', p_cause));
        FOR e IN SELECT * FROM queue_entry WHERE holder = p_holder AND tenant_id = v_tenant AND state IN ('waiting', 'offered', 'talking')
                 ORDER BY entry_id LOOP
            v_freed := v_freed || acd_lose_entry(e, p_cause, v_now);
            v_count := v_count + 1;
        END LOOP;
        PERFORM acd_match_agents(v_tenant, v_freed, v_now);
    END LOOP;
    IF v_count > 0 THEN
        UPDATE host_command SET taken_at = v_now, error = p_cause WHERE host = p_holder AND taken_at IS NULL;
        PERFORM acd_finish_transition(v_tenant, false);
    END IF;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_lose_host(text, text) IS 'Everything that a host held is lost; returns how many entries.';

CREATE FUNCTION acd_silent_hosts() RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT e.holder FROM queue_entry e LEFT JOIN node n ON n.name = e.holder
    WHERE e.state IN ('waiting', 'offered', 'talking') AND (e.anchored OR e.kind = 'callback') AND e.holder IS NOT NULL
      AND e.state_at < clock_timestamp() - interval '5 s' AND coalesce(n.heartbeat_at, '-infinity') < clock_timestamp() - interval '5 s'
    ORDER BY 1;
END $$;
COMMENT ON FUNCTION acd_silent_hosts() IS 'Media hosts that hold entries and have given no sign of life for 5 s; acd_lose_host each.';

CREATE FUNCTION acd_report(p_holder text, p_boot uuid, p_entries bigint[], p_data jsonb) RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- Missing in one report may be a report written while the entry was being made; missing in two, two seconds apart, is
-- a call that is not there.
DECLARE
    v_boot text;
    v_now timestamptz;
    v_freed integer[];
    e queue_entry;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT data ->> 'boot' INTO v_boot FROM node WHERE name = p_holder AND kind = 'media';
    UPDATE node SET heartbeat_at = clock_timestamp(), data = data || p_data || jsonb_build_object('boot', p_boot) WHERE name = p_holder AND kind = 'media';
    IF v_boot <> p_boot::text THEN
        PERFORM acd_lose_host(p_holder, 'the host has started anew');
    END IF;
    FOR e IN
        SELECT * FROM queue_entry q
        WHERE q.holder = p_holder AND q.state IN ('waiting', 'offered', 'talking') AND (q.anchored OR q.kind = 'callback')
          AND (q.missing_since IS NOT NULL OR NOT EXISTS (SELECT FROM unnest(p_entries) AS known (id) WHERE known.id = q.entry_id))
        ORDER BY q.tenant_id, q.entry_id
    LOOP
        v_now := acd_begin(e.tenant_id);
        SELECT * INTO e FROM queue_entry WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;  -- as it is now
        CONTINUE WHEN e.holder IS DISTINCT FROM p_holder OR e.state NOT IN ('waiting', 'offered', 'talking');
        IF e.entry_id = ANY (p_entries) THEN
            UPDATE queue_entry SET missing_since = NULL WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;
        ELSIF e.missing_since IS NULL THEN
            UPDATE queue_entry SET missing_since = v_now WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id;
        ELSIF e.missing_since < v_now - interval '2 s' THEN
            v_freed := acd_lose_entry(e, 'the host does not know the call', v_now);
            PERFORM acd_match_agents(e.tenant_id, v_freed, v_now);
            PERFORM acd_finish_transition(e.tenant_id, false);
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT NULL::bigint, q.tenant_id, 'end', known.id, NULL::bigint, jsonb_build_object('reason', coalesce(q.end_reason::text, 'unknown'))
    FROM unnest(p_entries) AS known (id)
    LEFT JOIN queue_entry q ON q.entry_id = known.id
    WHERE q.entry_id IS NULL OR q.state = 'ended' AND q.ended_at < clock_timestamp() - interval '2 s' OR q.holder <> p_holder;
END $$;
COMMENT ON FUNCTION acd_report(text, uuid, bigint[], jsonb) IS 'Heartbeat of a media host with all entries that it holds; returns those that it must end.';
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
        PERFORM acd_match(a.tenant_id, v_now, p_agent => a.agent_id) WHERE a.there;
        PERFORM acd_finish_transition(a.tenant_id, false);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_check_registrations() IS 'Compares the registered phones with what is known of agents; returns how many differed.';
-- Call distribution: what agents and supervisors do (docs/acd.md, section 5).

-- ---------------------------------------------------------------------------------------------- agents

CREATE FUNCTION acd_agent_event(
    p_tenant integer, p_agent integer, p_kind text, p_by text, p_data jsonb, p_now timestamptz
) RETURNS agent_state LANGUAGE plpgsql AS $$
-- Last part of every change that a person makes to an agent.
BEGIN
    PERFORM acd_note(p_now, p_tenant, p_kind, NULL, NULL, NULL, p_agent, NULL, p_data || jsonb_build_object('by', p_by));
    PERFORM acd_match(p_tenant, p_now, p_agent => p_agent);
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN (SELECT state FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent);
END $$;
COMMENT ON FUNCTION acd_agent_event(integer, integer, text, text, jsonb, timestamptz) IS 'Writes the event, matches, returns the new state.';

CREATE FUNCTION acd_login(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- A login begins a new count of calls; one that is repeated changes nothing but takes a pause away.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET logged_in = true, event = 'login', event_at = v_now, event_by = p_by, pause_reason = NULL,
        login_at = CASE WHEN logged_in THEN login_at ELSE v_now END,
        wrapup_until = CASE WHEN logged_in THEN wrapup_until END, not_before = CASE WHEN logged_in THEN not_before END,
        calls = CASE WHEN logged_in THEN calls ELSE 0 END, talk_seconds = CASE WHEN logged_in THEN talk_seconds ELSE 0 END,
        no_answers = 0, rejects = 0, busies = 0, unreachables = 0
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.login', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_login(integer, integer, text) IS 'An agent begins his shift.';

CREATE FUNCTION acd_logout(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET logged_in = false, event = 'logout', event_at = v_now, event_by = p_by, wrapup_until = NULL, not_before = NULL
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.logout', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_logout(integer, integer, text) IS 'An agent ends his shift; a queue call that he is in goes on.';

CREATE FUNCTION acd_pause(p_tenant integer, p_agent integer, p_reason text, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Another reason than before begins a new interval.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET pause_reason = p_reason, event = 'pause', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.pause', p_by, jsonb_build_object('reason', p_reason), v_now);
END $$;
COMMENT ON FUNCTION acd_pause(integer, integer, text, text) IS 'An agent pauses now, or after the call and wrap-up that he is in.';

CREATE FUNCTION acd_resume(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live SET pause_reason = NULL, no_answers = 0, rejects = 0, busies = 0, unreachables = 0, event = 'resume', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.resume', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_resume(integer, integer, text) IS 'An agent''s pause is over.';

CREATE FUNCTION acd_wrapup(p_tenant integer, p_agent integer, p_seconds integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Only for who has no call: the wrap-up of a call that goes on begins at its end.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live
    SET wrapup_until = CASE WHEN p_seconds > 0 THEN v_now + acd_seconds(p_seconds) END, event = 'wrapup', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND state IN ('wrapup', 'free', 'paused');
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.wrapup', p_by, jsonb_build_object('seconds', p_seconds), v_now);
END $$;
COMMENT ON FUNCTION acd_wrapup(integer, integer, integer, text) IS 'Wrap-up lasts so many seconds from now; 0 ends it.';

CREATE FUNCTION acd_free(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live
    SET wrapup_until = NULL, pause_reason = NULL, not_before = NULL, no_answers = 0, rejects = 0, busies = 0, unreachables = 0,
        event = 'free', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.free', p_by, '{}', v_now);
END $$;
COMMENT ON FUNCTION acd_free(integer, integer, text) IS 'A supervisor ends an agent''s wrap-up, pause and penalties.';

CREATE FUNCTION acd_release(p_tenant integer, p_agent integer, p_by text DEFAULT '') RETURNS agent_state LANGUAGE plpgsql AS $$
-- Whatever holds him: an offer ends as lost (a conversation as a conversation), dialogs are forgotten.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_held jsonb;
    o offer;
BEGIN
    SELECT jsonb_build_object('state', state, 'offer', offer_id, 'legs', legs, 'for_seconds', acd_ms(state_at, v_now) / 1000.0)
    INTO v_held FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent;
    SELECT * INTO o FROM offer WHERE agent_id = p_agent AND state <> 'ended' AND tenant_id = p_tenant;
    IF FOUND THEN
        PERFORM acd_send(o.holder, p_tenant, 'cancel_offer', o.entry_id, o.offer_id, '{"reason": "released"}');
        IF o.joined_at IS NOT NULL THEN
            PERFORM acd_close_offer(o, 'answered', NULL, 'released', p_by, v_now);
            PERFORM acd_end_entry(p_tenant, o.entry_id, 'served', p_by, '{"cause": "released"}', v_now);
        ELSE
            PERFORM acd_fail_offer(o, 'lost', NULL, 'released', v_now);
        END IF;
    END IF;
    DELETE FROM agent_leg WHERE tenant_id = p_tenant AND agent_id = p_agent;
    UPDATE agent_live SET legs = 0, wrapup_until = NULL, not_before = NULL, event = 'release', event_at = v_now, event_by = p_by
    WHERE tenant_id = p_tenant AND agent_id = p_agent AND offer_id IS NULL;
    RETURN acd_agent_event(p_tenant, p_agent, 'agent.release', p_by, v_held, v_now);
END $$;
COMMENT ON FUNCTION acd_release(integer, integer, text) IS 'Takes from an agent whatever holds him wrongly; the event says what that was.';

-- --------------------------------------------------------------------------------------------- entries

CREATE FUNCTION acd_priority(p_tenant integer, p_entry bigint, p_priority integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended';
    IF FOUND THEN
        SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
        UPDATE queue_entry SET priority = p_priority - q.priority,
            order_class = (acd_order(q, p_priority - q.priority, since)).class, order_at = (acd_order(q, p_priority - q.priority, since)).at
        WHERE tenant_id = p_tenant AND entry_id = p_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.priority', e.queue_id, p_entry, NULL, NULL, e.call_id,
                         jsonb_build_object('from', q.priority + e.priority, 'to', p_priority, 'by', p_by));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_priority(integer, bigint, integer, text) IS 'A supervisor changes the priority of a waiting caller.';

CREATE FUNCTION acd_move(p_tenant integer, p_entry bigint, p_queue integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state IN ('waiting', 'offered');
    IF FOUND AND e.queue_id <> p_queue AND (e.kind = 'call' OR acd_older_callback(p_tenant, p_queue, e.number) IS NULL) THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'moved by a supervisor', p_by, v_now);
        UPDATE queue_entry SET state = 'waiting', state_at = v_now, hops = 0 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
        PERFORM acd_move_entry(e, q, p_by, 'supervisor', v_now);
        PERFORM acd_match(p_tenant, v_now, p_entry => p_entry);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'move', p_entry, NULL, '{}');
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL, '{}');
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_move(integer, bigint, integer, text) IS 'A supervisor moves a waiting caller to another queue, with the time that he has waited: move or too_late.';

CREATE FUNCTION acd_eject(p_tenant integer, p_entry bigint, p_to_kind text DEFAULT NULL, p_to text DEFAULT NULL, p_by text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state NOT IN ('ended', 'talking');
    IF FOUND THEN
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'ejected', p_by, v_now);
        PERFORM acd_end_entry(p_tenant, p_entry, CASE e.kind WHEN 'call' THEN 'ejected'::entry_end ELSE 'cancelled' END, p_by, '{}', v_now);
        PERFORM acd_send(e.holder, p_tenant, 'leave', p_entry, NULL, jsonb_build_object('reason', 'ejected', 'to_kind', p_to_kind, 'to', p_to, 'announcement', ''), p_by)
        WHERE e.state <> 'lost' AND (e.kind = 'call' OR e.anchored);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'ended', p_entry, NULL, '{}');
    ELSE
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL, '{}');
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_eject(integer, bigint, text, text, text) IS 'A supervisor sends a waiting caller away (or somewhere), or takes a callback back: ended or too_late.';

CREATE FUNCTION acd_assign(p_tenant integer, p_entry bigint, p_agent integer, p_by text DEFAULT '') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- At once, whatever the agent's state, unless he is in a call: then he gets this caller before any other.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state IN ('waiting', 'offered');
    IF NOT FOUND OR acd_callable(p_tenant, p_agent) = 'gone' THEN
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, 'too_late', p_entry, NULL,
                         jsonb_build_object('reason', CASE WHEN FOUND THEN 'gone' ELSE 'ended' END));
    ELSE
        v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'given to an agent by a supervisor', p_by, v_now);
        UPDATE queue_entry SET state = 'waiting', state_at = v_now, assigned_agent = p_agent, not_before = NULL WHERE tenant_id = p_tenant AND entry_id = p_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.assign', e.queue_id, p_entry, NULL, p_agent, e.call_id, jsonb_build_object('by', p_by));
        PERFORM acd_match(p_tenant, v_now, p_entry => p_entry);
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
        PERFORM acd_send(current_setting('acd.caller'), p_tenant, CASE state WHEN 'offered' THEN 'offer_agent' ELSE 'wait' END, p_entry, NULL, '{}')
        FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_assign(integer, bigint, integer, text) IS 'A supervisor gives a waiting caller to an agent: offer_agent (at once), wait (he is next) or too_late (no such caller, phone gone).';

CREATE FUNCTION acd_command(p_tenant integer, p_entry bigint, p_kind text, p_data jsonb, p_by text DEFAULT '') RETURNS bigint LANGUAGE plpgsql AS $$
-- The caller is never a host, so the command is stored and has an id.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_id bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended' AND anchored AND holder IS NOT NULL;
    IF FOUND THEN
        v_id := acd_send(e.holder, p_tenant, p_kind, p_entry, (
            SELECT offer_id FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state = 'answered'), p_data || jsonb_build_object('call', e.call_id), p_by);
        PERFORM acd_note(v_now, p_tenant, 'call.' || p_kind, e.queue_id, p_entry, NULL, e.agent_id, e.call_id, p_data || jsonb_build_object('by', p_by, 'command', v_id));
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_id;
END $$;
COMMENT ON FUNCTION acd_command(integer, bigint, text, jsonb, text) IS 'An order to the host that has a call; null: no host has it (direct call, or over).';

-- --------------------------------------------------------------------------------------- configuration

CREATE FUNCTION acd_queue_changed(p_tenant integer, p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
-- Everything that was computed from the queue's configuration, computed again.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    v_agent integer;
    v_host text;
    q queue;
    e queue_entry;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
    UPDATE queue_live SET
        steps = ARRAY(SELECT DISTINCT step FROM (SELECT unnest(q.tier_waits) AS step UNION SELECT after_seconds FROM queue_skill
                                                 WHERE tenant_id = p_tenant AND queue_id = p_queue) s WHERE step > 0 ORDER BY step),
        skilled = EXISTS (SELECT FROM queue_skill WHERE tenant_id = p_tenant AND queue_id = p_queue)
    WHERE tenant_id = p_tenant AND queue_id = p_queue;
    DELETE FROM ready_agent WHERE queue_id = p_queue;
    FOR v_agent IN SELECT m.agent_id FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
                   WHERE m.tenant_id = p_tenant AND m.queue_id = p_queue AND a.ready LOOP
        PERFORM acd_make_ready(p_tenant, v_agent);
    END LOOP;
    FOR e IN UPDATE queue_entry SET order_class = (acd_order(q, priority, since)).class, order_at = (acd_order(q, priority, since)).at,
                    leave_at = CASE kind WHEN 'call' THEN entered_at + acd_seconds(q.max_wait_seconds) END
             WHERE tenant_id = p_tenant AND queue_id = p_queue AND state IN ('waiting', 'offered', 'lost') RETURNING * LOOP
        PERFORM acd_set_due(e, v_now) WHERE e.state = 'waiting';
    END LOOP;
    FOR v_host IN SELECT DISTINCT holder FROM queue_entry WHERE queue_id = p_queue AND state IN ('waiting', 'offered') AND anchored LOOP
        PERFORM acd_send(v_host, p_tenant, 'settings', NULL, NULL, jsonb_build_object('settings', acd_settings(p_tenant, p_queue)));
    END LOOP;
    PERFORM acd_match_queue(p_tenant, p_queue, v_now);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_queue_changed(integer, integer) IS 'After a queue, its members or its skills were changed: order, ready agents, hosts, match.';

CREATE FUNCTION acd_agent_changed(p_tenant integer, p_agent integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE agent_live l
    SET enabled = a.enabled, registered = CASE WHEN a.number IS NOT NULL THEN true ELSE l.registered AND l.external IS FALSE END,
        external = a.number IS NOT NULL, event = 'change', event_at = v_now, event_by = 'configuration'
    FROM agent a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND l.tenant_id = p_tenant AND l.agent_id = p_agent;
    PERFORM acd_make_ready(p_tenant, p_agent);
    PERFORM acd_match(p_tenant, v_now, p_agent => p_agent);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_agent_changed(integer, integer) IS 'After an agent, his phone, memberships or skills were changed.';

CREATE FUNCTION acd_set_open(p_tenant integer, p_queue integer, p_open boolean, p_callback_open boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
BEGIN
    UPDATE queue_live SET is_open = p_open, callback_open = p_callback_open WHERE tenant_id = p_tenant AND queue_id = p_queue;
    PERFORM acd_note(v_now, p_tenant, CASE WHEN p_open THEN 'queue.open' ELSE 'queue.close' END, p_queue, NULL, NULL, NULL, NULL,
                     jsonb_build_object('callback_open', p_callback_open));
    PERFORM acd_match_queue(p_tenant, p_queue, v_now);
    PERFORM acd_finish_transition(p_tenant, false);
END $$;
COMMENT ON FUNCTION acd_set_open(integer, integer, boolean, boolean) IS 'The opening hours of a queue (and those of its callbacks) begin or end: newcomers are refused while it is closed, who waits is served.';

CREATE FUNCTION acd_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('kalibri.actor', true), ''), session_user::text);
$$;
COMMENT ON FUNCTION acd_actor() IS 'Who does this, for the events: what the session says of itself (kalibri.actor), else its role.';
-- Call distribution: callbacks, transfers, replay of an outage, partitions (docs/acd.md, sections 3 and 7).

-- ------------------------------------------------------------------------------------------- callbacks

CREATE FUNCTION acd_older_callback(p_tenant integer, p_queue integer, p_number text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT entry_id FROM queue_entry
            WHERE tenant_id = p_tenant AND queue_id = p_queue AND number = p_number AND kind = 'callback' AND state <> 'ended');
END $$;
COMMENT ON FUNCTION acd_older_callback(integer, integer, text) IS 'The callback of a number that a queue has already.';

CREATE FUNCTION acd_callback(p_tenant integer, p_entry bigint, p_number text, p_options jsonb DEFAULT '{}') RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    v_freed integer[] := '{}';
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    IF NOT coalesce(q.callback_enabled, false) OR e.state NOT IN ('waiting', 'arriving', 'offered') OR e.kind = 'callback' THEN
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'leave', p_entry, NULL, '{"reason": "refused", "to_kind": null, "to": null, "announcement": ""}');
    ELSE
        v_freed := acd_close_offers(p_tenant, p_entry, 'caller_gone', 'the caller asked for a callback', 'caller', v_now);
        IF acd_older_callback(p_tenant, e.queue_id, p_number) IS NOT NULL THEN
            PERFORM acd_end_entry(p_tenant, p_entry, 'callback', 'caller', jsonb_build_object(
                'number', p_number, 'kept', acd_older_callback(p_tenant, e.queue_id, p_number)), v_now);
        ELSE
            UPDATE queue_entry SET state = 'waiting' WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'waiting';
            UPDATE queue_entry
            SET kind = 'callback', state_at = v_now, holder = NULL, anchored = false, number = p_number, leave_at = NULL, not_before = NULL,
                callback_first = coalesce(p_options ->> 'first', q.callback_first), expires_at = v_now + acd_seconds(q.callback_expires_seconds),
                missing_since = NULL, assigned_agent = NULL
            WHERE tenant_id = p_tenant AND entry_id = p_entry;
            PERFORM acd_note(v_now, p_tenant, 'entry.callback', e.queue_id, p_entry, NULL, NULL, e.call_id, jsonb_build_object('number', p_number, 'since', e.since));
            PERFORM acd_send(e.holder, p_tenant, 'ended', p_entry, NULL, jsonb_build_object(
                'end_reason', 'callback', 'waited_seconds', acd_ms(e.since, v_now) / 1000.0, 'talk_seconds', 0));
            PERFORM acd_match(p_tenant, v_now, p_entry => p_entry);
        END IF;
        PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_callback(integer, bigint, text, jsonb) IS 'A waiting caller wants to be called back: the entry stays in its place without a call. ended, or leave with reason refused.';

CREATE FUNCTION acd_callback_add(p_tenant integer, p_queue integer, p_number text, p_options jsonb DEFAULT '{}', p_by text DEFAULT '')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    q queue;
    v_entry bigint := acd_older_callback(p_tenant, p_queue, p_number);
BEGIN
    IF v_entry IS NULL THEN
        SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = p_queue;
        v_entry := acd_new_entry(p_tenant, p_queue, coalesce((p_options ->> 'call')::uuid, acd_uuid7(v_now)), NULL, false, p_number, p_options, v_now);
        UPDATE queue_entry
        SET kind = 'callback', number = p_number, leave_at = NULL, callback_first = coalesce(p_options ->> 'first', q.callback_first),
            expires_at = v_now + acd_seconds(q.callback_expires_seconds)
        WHERE tenant_id = p_tenant AND entry_id = v_entry;
        PERFORM acd_note(v_now, p_tenant, 'entry.callback', p_queue, v_entry, NULL, NULL, NULL, jsonb_build_object('number', p_number, 'by', p_by));
        PERFORM acd_match(p_tenant, v_now, p_entry => v_entry);
    END IF;
    PERFORM acd_finish_transition(p_tenant, false);
    RETURN v_entry;
END $$;
COMMENT ON FUNCTION acd_callback_add(integer, integer, text, jsonb, text) IS 'A callback without a call before it; returns its entry, or that of the number''s older one.';

CREATE FUNCTION acd_uuid7(p_at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (left(t, 8) || '-' || substr(t, 9, 4) || '-7' || substr(r, 16, 3) || '-' || substr(r, 20))::uuid
    FROM (SELECT lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0') AS t, gen_random_uuid()::text AS r) parts;
$$;
COMMENT ON FUNCTION acd_uuid7(timestamptz) IS 'A UUIDv7 (RFC 9562) of this time.';

CREATE FUNCTION acd_dial_failed(p_offer offer, p_result text, p_code integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Tried again after the queue's time, as often as it says; the agent was not to blame and is free.
DECLARE
    e queue_entry;
    q queue;
BEGIN
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_offer.tenant_id AND queue_id = p_offer.queue_id;
    PERFORM acd_close_offer(p_offer, 'cancelled', p_code, 'callback: ' || p_result, 'system', p_now);
    UPDATE queue_entry SET dials = dials + 1 WHERE tenant_id = p_offer.tenant_id AND entry_id = p_offer.entry_id RETURNING * INTO STRICT e;
    PERFORM acd_note(p_now, e.tenant_id, 'entry.dial', e.queue_id, e.entry_id, p_offer.offer_id, p_offer.agent_id, e.call_id,
                     jsonb_build_object('result', p_result, 'code', p_code, 'dials', e.dials));
    IF e.dials >= q.callback_attempts THEN
        PERFORM acd_end_entry(e.tenant_id, e.entry_id, 'failed', 'system', jsonb_build_object('result', p_result), p_now);
    ELSE
        PERFORM acd_rewait(e.tenant_id, e.entry_id, 'callback: ' || p_result, q.callback_retry_seconds, p_now);
        PERFORM acd_set_due(w, p_now) FROM queue_entry w WHERE w.tenant_id = e.tenant_id AND w.entry_id = e.entry_id AND w.state = 'waiting';
    END IF;
    PERFORM acd_match(e.tenant_id, p_now, p_agent => p_offer.agent_id);
END $$;
COMMENT ON FUNCTION acd_dial_failed(offer, text, integer, timestamptz) IS 'The person of a callback was not reached.';

CREATE FUNCTION acd_dialled(p_tenant integer, p_entry bigint, p_result text, p_code integer DEFAULT NULL, p_legs jsonb DEFAULT '[]')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    q queue;
    o offer;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    SELECT * INTO o FROM offer WHERE tenant_id = p_tenant AND entry_id = p_entry AND state <> 'ended';
    IF NOT FOUND OR e.kind <> 'callback' OR e.anchored THEN
        PERFORM acd_finish_transition(p_tenant, false);
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'too_late', p_entry, NULL, '{"reason": "no open offer"}');
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF p_result <> 'reached' THEN
        PERFORM acd_dial_failed(o, p_result, p_code, v_now);
    ELSE
        UPDATE queue_entry SET anchored = true, dials = dials + 1 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
        PERFORM acd_note(v_now, p_tenant, 'entry.dial', e.queue_id, p_entry, o.offer_id, o.agent_id, e.call_id, jsonb_build_object('result', 'reached', 'dials', e.dials));
        PERFORM acd_keep_legs(o, p_legs) WHERE p_legs <> '[]';
        IF o.state = 'answered' THEN
            PERFORM acd_set_joined(e, o, acd_offer_data(e, q, o.agent_id, o.forced, v_now), v_now);
        ELSE
            UPDATE offer SET state = 'ringing', rung_at = v_now, deadline_at = v_now + acd_seconds(q.ring_seconds + 5)
            WHERE tenant_id = p_tenant AND offer_id = o.offer_id;
            UPDATE agent_live SET offer_state = 'ringing', event = 'ring', event_at = v_now, event_by = '' WHERE tenant_id = p_tenant AND agent_id = o.agent_id;
            PERFORM acd_send(e.holder, p_tenant, 'offer_agent', p_entry, o.offer_id, acd_offer_data(e, q, o.agent_id, o.forced, v_now));
        END IF;
    END IF;
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
END $$;
COMMENT ON FUNCTION acd_dialled(integer, bigint, text, integer, jsonb) IS 'How the call to the person of a callback went: join, offer_agent, or the next try.';

-- ------------------------------------------------------------------------------------------- transfers

CREATE FUNCTION acd_transfer(p_tenant integer, p_entry bigint, p_to_kind text, p_target text, p_mode text, p_by text DEFAULT '')
RETURNS SETOF acd_action LANGUAGE plpgsql AS $$
-- The first agent is out of it. To a queue or an agent: a new entry of the same call, whose wait begins now.
DECLARE
    v_now timestamptz := acd_begin(p_tenant);
    e queue_entry;
    v_freed integer[];
    v_agent integer;
    v_queue integer;
    v_entry bigint;
BEGIN
    SELECT * INTO e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    PERFORM set_config('acd.caller', coalesce(e.holder, '?'), true);
    v_queue := e.queue_id;
    IF p_to_kind = 'queue' THEN
        SELECT queue_id INTO v_queue FROM queue WHERE tenant_id = p_tenant AND name = p_target;
    ELSIF p_to_kind = 'agent' THEN
        SELECT agent_id INTO v_agent FROM agent WHERE tenant_id = p_tenant AND name = p_target;
    END IF;
    IF e.state IS DISTINCT FROM 'talking' OR v_queue IS NULL OR p_to_kind = 'agent' AND v_agent IS NULL THEN
        PERFORM acd_send(coalesce(e.holder, '?'), p_tenant, 'too_late', p_entry, NULL, '{"reason": "not talking, or no such target"}');
        PERFORM acd_finish_transition(p_tenant, false);
        RETURN QUERY SELECT * FROM acd_replies(p_tenant, p_entry);
        RETURN;
    END IF;
    v_freed := acd_close_offers(p_tenant, p_entry, 'cancelled', 'transferred', 'agent', v_now);
    PERFORM acd_note(v_now, p_tenant, 'call.transfer', e.queue_id, p_entry, NULL, e.agent_id, e.call_id,
                     jsonb_build_object('to_kind', p_to_kind, 'to', p_target, 'mode', p_mode, 'by', p_by));
    PERFORM acd_end_entry(p_tenant, p_entry, 'transferred', 'agent', jsonb_build_object('to_kind', p_to_kind, 'to', p_target), v_now);
    IF p_to_kind IN ('queue', 'agent') THEN
        v_entry := acd_new_entry(p_tenant, v_queue, e.call_id, e.holder, e.anchored, e.caller,
            jsonb_build_object('caller_name', e.caller_name, 'variables', e.variables, 'proxy', e.proxy, 'agent', v_agent), v_now);
        IF p_mode = 'attended' AND v_agent IS NOT NULL THEN
            PERFORM acd_join_at_once(p_tenant, v_entry, v_agent, v_now);
        ELSE
            PERFORM acd_admit(p_tenant, v_entry, v_now);
        END IF;
    END IF;
    PERFORM acd_match_agents(p_tenant, v_freed, v_now);
    PERFORM acd_finish_transition(p_tenant, true);
    RETURN QUERY SELECT * FROM acd_replies(p_tenant, coalesce(v_entry, p_entry));
END $$;
COMMENT ON FUNCTION acd_transfer(integer, bigint, text, text, text, text) IS 'An agent hands his caller on.';

CREATE FUNCTION acd_join_at_once(p_tenant integer, p_entry bigint, p_agent integer, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
-- Attended transfer: the agent has answered already. If a queue call holds him all the same, the caller waits for him.
DECLARE
    e queue_entry;
    q queue;
    o offer;
    v_offer bigint;
BEGIN
    SELECT * INTO STRICT e FROM queue_entry WHERE tenant_id = p_tenant AND entry_id = p_entry;
    SELECT * INTO STRICT q FROM queue WHERE tenant_id = p_tenant AND queue_id = e.queue_id;
    IF EXISTS (SELECT FROM agent_live WHERE tenant_id = p_tenant AND agent_id = p_agent AND offer_id IS NOT NULL) THEN
        PERFORM acd_match(p_tenant, p_now, p_entry => p_entry);
        PERFORM acd_tell_place(p_tenant, p_entry, p_now);
        RETURN;
    END IF;
    UPDATE queue_entry SET state = 'offered', offers = offers + 1 WHERE tenant_id = p_tenant AND entry_id = p_entry RETURNING * INTO e;
    INSERT INTO offer (tenant_id, entry_id, queue_id, agent_id, call_id, caller, holder, proxy, state, strategy, forced, made_at, rung_at, waited_ms)
    VALUES (p_tenant, p_entry, e.queue_id, p_agent, e.call_id, e.caller, e.holder, e.proxy, 'ringing', q.strategy, true, p_now, p_now, 0) RETURNING offer_id INTO v_offer;
    UPDATE agent_live SET offer_id = v_offer, offer_state = 'ringing', event = 'ring', event_at = p_now, event_by = 'transfer' WHERE tenant_id = p_tenant AND agent_id = p_agent;
    UPDATE offer SET state = 'answered', answered_at = p_now, ring_ms = 0 WHERE tenant_id = p_tenant AND offer_id = v_offer RETURNING * INTO o;
    UPDATE agent_live SET offer_state = 'answered', event = 'answer', event_at = p_now WHERE tenant_id = p_tenant AND agent_id = p_agent;
    PERFORM acd_note(p_now, p_tenant, 'offer.make', e.queue_id, p_entry, v_offer, p_agent, e.call_id, '{"forced": true, "attended": true}');
    PERFORM acd_set_joined(e, o, acd_offer_data(e, q, p_agent, true, p_now), p_now);
END $$;
COMMENT ON FUNCTION acd_join_at_once(integer, bigint, integer, timestamptz) IS 'Joins an entry and an agent who talk already.';

CREATE FUNCTION acd_find_leg(p_tenant integer, p_sip_call_id text, p_tag text)
RETURNS TABLE (entry_id bigint, offer_id bigint, kind text, holder text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT l.entry_id, l.offer_id, l.kind, l.holder FROM leg l
    WHERE l.tenant_id = p_tenant AND l.sip_call_id = p_sip_call_id AND p_tag IN (l.tag, l.remote_tag);
END $$;
COMMENT ON FUNCTION acd_find_leg(integer, text, text) IS 'The leg that a Replaces header means, by Call-ID and either tag.';

-- ---------------------------------------------------------------------------------------------- outage

CREATE FUNCTION acd_replay(p_lines jsonb) RETURNS integer LANGUAGE plpgsql AS $$
-- Calls that came and went while the database was away: history only, nothing is matched. Each line once; returns
-- how many were new. Lines of unknown queues are passed over (the queue is gone since).
DECLARE
    l record;
    e queue_entry;
    v_count integer := 0;
BEGIN
    FOR l IN SELECT * FROM jsonb_to_recordset(p_lines) AS x (
                 event_id uuid, kind text, at timestamptz, tenant integer, queue integer, call uuid, caller text, reason text, holder text)
             JOIN queue q ON q.tenant_id = x.tenant AND q.queue_id = x.queue
             ORDER BY x.tenant, x.at, x.event_id LOOP
        PERFORM acd_begin(l.tenant, l.holder);
        INSERT INTO acd_replayed (event_id, at) VALUES (l.event_id, l.at) ON CONFLICT DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        v_count := v_count + 1;
        SELECT * INTO e FROM queue_entry WHERE call_id = l.call AND tenant_id = l.tenant ORDER BY entry_id DESC LIMIT 1;
        IF l.kind = 'enter' AND NOT FOUND THEN
            INSERT INTO queue_entry (tenant_id, queue_id, state, call_id, caller, since, entered_at, order_class, order_at, holder, anchored, state_at, due_at)
            VALUES (l.tenant, l.queue, 'lost', l.call, coalesce(l.caller, ''), l.at, l.at, 0, l.at, l.holder, true, l.at, clock_timestamp() + interval '10 min')
            RETURNING * INTO e;
            PERFORM acd_note(l.at, l.tenant, 'entry.enter', l.queue, e.entry_id, NULL, NULL, l.call, jsonb_build_object('caller', l.caller, 'since', l.at, 'replayed', l.event_id));
        ELSIF l.kind = 'end' AND FOUND AND e.state <> 'ended' THEN
            IF e.state <> 'talking' THEN
                PERFORM acd_close_offers(l.tenant, e.entry_id, 'caller_gone', 'told late', 'system', clock_timestamp());
            END IF;
            PERFORM acd_end_entry(l.tenant, e.entry_id, coalesce(l.reason, 'abandoned')::entry_end, 'caller', jsonb_build_object('replayed', l.event_id), greatest(l.at, e.since))
            WHERE e.state <> 'talking';
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION acd_replay(jsonb) IS 'Journal lines of hosts from a time without database, each once, with their original times.';

-- ---------------------------------------------------------------------------------------- housekeeping

CREATE FUNCTION acd_ensure_partition(p_day date) RETURNS void LANGUAGE plpgsql AS $$
-- Rows of the day that the default partition has taken meanwhile move into the new one.
DECLARE
    v_name text := 'acd_event_' || to_char(p_day, 'YYYYMMDD');
    v_from timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(v_name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('day_partitions'));
        IF to_regclass(v_name) IS NULL THEN
            CREATE TEMP TABLE acd_moved ON COMMIT DROP AS SELECT * FROM acd_event_default WHERE at >= v_from AND at < v_from + interval '1 day';
            DELETE FROM acd_event_default WHERE at >= v_from AND at < v_from + interval '1 day';
            EXECUTE format('CREATE TABLE %I PARTITION OF acd_event FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_from + interval '1 day');
            INSERT INTO acd_event SELECT * FROM acd_moved;
            DROP TABLE acd_moved;
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION acd_ensure_partition(date) IS 'Makes the partition of acd_event for one UTC day when it is missing.';

CREATE FUNCTION acd_sweep(p_keep interval DEFAULT '7 days') RETURNS void LANGUAGE sql AS $$
    DELETE FROM host_command WHERE created_at < clock_timestamp() - p_keep;
    DELETE FROM acd_replayed WHERE at < clock_timestamp() - interval '60 days';
    DELETE FROM last_agent WHERE at < clock_timestamp() - interval '366 days';
$$;
COMMENT ON FUNCTION acd_sweep(interval) IS 'Forgets commands and memories that nobody needs any more.';

CREATE VIEW acd_attempt AS
SELECT o.tenant_id, o.offer_id, o.entry_id, o.call_id, q.name AS queue, o.caller, coalesce(a.name, 'agent ' || o.agent_id) AS agent,
       o.made_at AS at, o.waited_ms / 1000.0 AS wait_seconds, o.ring_ms / 1000.0 AS ring_seconds, o.talk_ms / 1000.0 AS talk_seconds,
       o.hold_ms / 1000.0 AS hold_seconds, o.answered_at IS NOT NULL AS answered, o.joined_at IS NOT NULL AS success, o.outcome, o.code, o.cause, o.hung_up_by
FROM offer o
LEFT JOIN queue q ON q.tenant_id = o.tenant_id AND q.queue_id = o.queue_id
LEFT JOIN agent a ON a.tenant_id = o.tenant_id AND a.agent_id = o.agent_id;
COMMENT ON VIEW acd_attempt IS 'One row an offer, as managers of agents need it: queue, caller, agent, time, wait, talk, answered, success.';
-- Call distribution: who may see it (schema/40_api.sql), and which changes are written down.

CALL protect_tenant_rows('skill');
CALL protect_tenant_rows('pause_reason');
CALL protect_tenant_rows('agent');
CALL protect_tenant_rows('agent_skill');
CALL protect_tenant_rows('queue');
CALL protect_tenant_rows('queue_skill');
CALL protect_tenant_rows('queue_member');
CALL protect_tenant_rows('agent_live');
CALL protect_tenant_rows('queue_live');
CALL protect_tenant_rows('round_robin');
CALL protect_tenant_rows('ready_agent');
CALL protect_tenant_rows('queue_entry');
CALL protect_tenant_rows('offer');
CALL protect_tenant_rows('rejection');
CALL protect_tenant_rows('last_agent');
CALL protect_tenant_rows('agent_leg');
CALL protect_tenant_rows('leg');
CALL protect_tenant_rows('host_command');
CALL protect_tenant_rows('acd_event');
CALL open_for_reading('acd_transition');
REVOKE UPDATE, DELETE ON acd_event FROM kalibri_api;
GRANT USAGE, SELECT ON SEQUENCE acd_event_seq TO kalibri_api;
ALTER VIEW acd_attempt SET (security_invoker = true);

CALL audit_changes_of('skill', '{}', '{}', '');
CALL audit_changes_of('pause_reason', '{}', '{}', '');
CALL audit_changes_of('agent', '{}', '{}', '');
CALL audit_changes_of('agent_skill', '{}', '{}', '');
CALL audit_changes_of('queue', '{}', '{}', '');
CALL audit_changes_of('queue_skill', '{}', '{}', '');
CALL audit_changes_of('queue_member', '{}', '{}', '');
