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
                            -- Not BETWEEN: within AND a dump writes it otherwise, and a restored database would look changed.
                            CONSTRAINT queue_tier_waits_check CHECK (cardinality(tier_waits) >= 1 AND cardinality(tier_waits) <= 20 AND tier_waits[1] = 0),
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
    holder       text,
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
    preview_until timestamptz,
    CONSTRAINT offer_pkey PRIMARY KEY (tenant_id, offer_id),
    CONSTRAINT offer_entry_fkey FOREIGN KEY (tenant_id, entry_id) REFERENCES queue_entry ON DELETE CASCADE,
    CONSTRAINT offer_end_check CHECK ((state = 'ended') = (ended_at IS NOT NULL) AND (ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT offer_answer_check CHECK (state <> 'answered' OR answered_at IS NOT NULL),
    CONSTRAINT offer_holder_check CHECK (holder IS NOT NULL OR state IN ('reserved', 'ended')),
    CONSTRAINT offer_preview_check CHECK (preview_until IS NULL OR state = 'reserved')
) WITH (fillfactor = 70);
COMMENT ON TABLE offer IS 'One ringing of one agent for one entry, why he was chosen, and how it ended.';
COMMENT ON COLUMN offer.holder IS 'Node that rings the agent; null: none does yet, the agent only looks at a lead.';
COMMENT ON COLUMN offer.preview_until IS 'The agent looks at a lead, and may accept or skip it until then; null: no preview, or it is over.';
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
