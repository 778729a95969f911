-- Supplementary services of accounts: forwarding, do-not-disturb, lists of callers, hunt groups, codes (docs/services.md).

-- --------------------------------------------------------------------------------------------- enums

CREATE TYPE forward_condition AS ENUM (
    'always',      -- at once; no phone rings
    'busy',        -- every phone is busy, or the account does not want to be disturbed
    'no_answer',   -- nobody answered within the time
    'unreachable'  -- no phone is registered, or none can be reached
);

CREATE TYPE forward_kind AS ENUM (
    'number',    -- a number, by the routes and at the cost of the account
    'account',   -- an account or hunt group of the tenant
    'queue',     -- a queue of the tenant
    'voicemail'  -- the voice mail of the account
);

CREATE TYPE screen_list AS ENUM (
    'black',  -- these callers are refused
    'white'   -- these callers ring, whatever else is set
);

CREATE TYPE hunt_mode AS ENUM (
    'parallel',  -- all members at once
    'serial'     -- one after the other, in order
);

CREATE TYPE star_action AS ENUM (
    'dnd_on',                   -- do not disturb
    'dnd_off',                  -- take calls again
    'forward_always',           -- forward every call to the number that follows
    'forward_always_off',       -- end that
    'forward_busy',             -- forward to the number that follows when busy
    'forward_busy_off',         -- end that
    'forward_no_answer',        -- forward to the number that follows when nobody answers
    'forward_no_answer_off',    -- end that
    'forward_unreachable',      -- forward to the number that follows when no phone can be reached
    'forward_unreachable_off',  -- end that
    'anonymous_reject_on',      -- refuse callers who hide their number
    'anonymous_reject_off',     -- take them again
    'hide_on',                  -- hide the own number in every call
    'hide_off',                 -- show it again
    'hide_once',                -- hide the own number in this call; the number to call follows
    'show_once',                -- show the own number in this call
    'block',                    -- refuse the number that follows
    'unblock',                  -- take it from the black list
    'speed_set',                -- store a speed dial: slot * number
    'speed_call',               -- call a speed dial; its slot follows
    'pickup_group',             -- take a ringing call of the own pickup group
    'pickup',                   -- take the ringing call of the colleague that follows
    'park',                     -- of a transfer: park the call, at the slot that follows or at a free one
    'unpark',                   -- take the call that is parked at the slot that follows; of a transfer: park one there
    'mailbox'                   -- listen to the own voice mail, or, with its PIN, to that of who follows
);

-- -------------------------------------------------------------------------------------------- tables

CREATE TABLE account_service (
    tenant_id         integer NOT NULL CONSTRAINT account_service_tenant_fkey REFERENCES tenant,
    account_id        integer NOT NULL,
    do_not_disturb    boolean NOT NULL DEFAULT false,
    reject_anonymous  boolean NOT NULL DEFAULT false,
    only_white        boolean NOT NULL DEFAULT false,
    hide_number       boolean NOT NULL DEFAULT false,
    pickup_group      text NOT NULL DEFAULT ''
                      CONSTRAINT account_service_pickup_group_check CHECK (pickup_group ~ '^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$'),
    CONSTRAINT account_service_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT account_service_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE account_service IS 'Services of an account that are on or off; no row: none is on.';
COMMENT ON COLUMN account_service.only_white IS 'Only callers of the white list ring.';
COMMENT ON COLUMN account_service.hide_number IS 'Its number is never shown to the called (RFC 3323).';
COMMENT ON COLUMN account_service.pickup_group IS 'Members of one group take each other''s ringing calls; empty: none.';
CREATE INDEX account_service_pickup_idx ON account_service (tenant_id, pickup_group) WHERE pickup_group <> '';
COMMENT ON INDEX account_service_pickup_idx IS 'Members of a pickup group (directory file).';

CREATE TABLE account_forward (
    tenant_id    integer NOT NULL CONSTRAINT account_forward_tenant_fkey REFERENCES tenant,
    account_id   integer NOT NULL,
    condition    forward_condition NOT NULL,
    kind         forward_kind NOT NULL,
    destination  text NOT NULL DEFAULT ''
                 CONSTRAINT account_forward_destination_check CHECK (destination ~ '^[+]?[A-Za-z0-9_.*#-]{0,64}$' AND (kind = 'voicemail') = (destination = '')),
    -- Not BETWEEN: within AND a dump writes it otherwise, and a restored database would look changed.
    seconds      integer CONSTRAINT account_forward_seconds_check
                 CHECK (condition = 'no_answer' AND seconds >= 1 AND seconds <= 600 OR condition <> 'no_answer' AND seconds IS NULL),
    CONSTRAINT account_forward_pkey PRIMARY KEY (tenant_id, account_id, condition),
    CONSTRAINT account_forward_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE account_forward IS 'Where calls of an account go instead, by condition.';
COMMENT ON COLUMN account_forward.seconds IS 'Of no_answer: how long the phones ring before.';

CREATE TABLE account_caller (
    tenant_id   integer NOT NULL CONSTRAINT account_caller_tenant_fkey REFERENCES tenant,
    account_id  integer NOT NULL,
    pattern     text NOT NULL CONSTRAINT account_caller_pattern_check CHECK (pattern ~ '^[A-Za-z0-9_.#-]{1,64}[*]?$'),
    list        screen_list NOT NULL,
    CONSTRAINT account_caller_pkey PRIMARY KEY (tenant_id, account_id, pattern),
    CONSTRAINT account_caller_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE account_caller IS 'Callers whom an account never or always takes: a number without + or a user name; with * at its end a prefix.';

CREATE TABLE account_speed_dial (
    tenant_id    integer NOT NULL CONSTRAINT account_speed_dial_tenant_fkey REFERENCES tenant,
    account_id   integer NOT NULL,
    slot         text NOT NULL CONSTRAINT account_speed_dial_slot_check CHECK (slot ~ '^[0-9]{1,2}$'),
    destination  text NOT NULL CONSTRAINT account_speed_dial_destination_check CHECK (destination ~ '^[+]?[A-Za-z0-9_.-]{1,64}$'),
    CONSTRAINT account_speed_dial_pkey PRIMARY KEY (tenant_id, account_id, slot),
    CONSTRAINT account_speed_dial_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE account_speed_dial IS 'Numbers that an account calls by one or two digits behind the code speed_call.';

CREATE TABLE hunt_group (
    tenant_id      integer NOT NULL CONSTRAINT hunt_group_tenant_fkey REFERENCES tenant,
    group_id       integer GENERATED ALWAYS AS IDENTITY,
    name           text NOT NULL CONSTRAINT hunt_group_name_check CHECK (name ~ '^[A-Za-z0-9_.+-]{1,64}$'),
    mode           hunt_mode NOT NULL DEFAULT 'parallel',
    ring_seconds   integer NOT NULL DEFAULT 20 CONSTRAINT hunt_group_ring_check CHECK (ring_seconds BETWEEN 1 AND 600),
    fallback_kind  forward_kind,
    fallback       text NOT NULL DEFAULT ''
                   CONSTRAINT hunt_group_fallback_check CHECK (fallback ~ '^[+]?[A-Za-z0-9_.*#-]{0,64}$' AND (fallback = '') = (fallback_kind IS NULL)),
    CONSTRAINT hunt_group_pkey PRIMARY KEY (tenant_id, group_id),
    CONSTRAINT hunt_group_name_key UNIQUE (tenant_id, name)
);
COMMENT ON TABLE hunt_group IS 'Accounts that ring under one name, which is dialled as that of an account; the two share their names.';
COMMENT ON COLUMN hunt_group.ring_seconds IS 'Of each member (serial), or of all together (parallel).';
COMMENT ON COLUMN hunt_group.fallback IS 'Where a call goes that no member took; empty: it ends.';

CREATE TABLE hunt_group_member (
    tenant_id   integer NOT NULL CONSTRAINT hunt_group_member_tenant_fkey REFERENCES tenant,
    group_id    integer NOT NULL,
    account_id  integer NOT NULL,
    position    integer NOT NULL CONSTRAINT hunt_group_member_position_check CHECK (position BETWEEN 1 AND 10000),
    CONSTRAINT hunt_group_member_pkey PRIMARY KEY (tenant_id, group_id, account_id),
    CONSTRAINT hunt_group_member_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES hunt_group ON DELETE CASCADE,
    CONSTRAINT hunt_group_member_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE hunt_group_member IS 'Who rings in a hunt group; serial groups ring by position.';
CREATE INDEX hunt_group_member_account_idx ON hunt_group_member (tenant_id, account_id);
COMMENT ON INDEX hunt_group_member_account_idx IS 'Groups of an account (account rm).';

CREATE TABLE service_code (
    tenant_id  integer NOT NULL CONSTRAINT service_code_tenant_fkey REFERENCES tenant,
    action     star_action NOT NULL,
    code       text NOT NULL CONSTRAINT service_code_code_check CHECK (code ~ '^([*#][0-9*#]{0,7})?$'),
    CONSTRAINT service_code_pkey PRIMARY KEY (tenant_id, action)
);
COMMENT ON TABLE service_code IS 'Codes of a tenant that differ from the usual ones (callcore/star_code.py); an empty code switches the action off.';
CREATE UNIQUE INDEX service_code_code_key ON service_code (tenant_id, code) WHERE code <> '';
COMMENT ON INDEX service_code_code_key IS 'One code does one thing.';

CREATE TABLE forward_policy (
    tenant_id     integer NOT NULL CONSTRAINT forward_policy_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    to_numbers    boolean NOT NULL DEFAULT true,
    max_calls     integer NOT NULL DEFAULT 2 CONSTRAINT forward_policy_max_calls_check CHECK (max_calls BETWEEN 0 AND 10000),
    max_cost      numeric(12,4) CONSTRAINT forward_policy_max_cost_check CHECK (max_cost >= 0),
    max_seconds   integer NOT NULL DEFAULT 7200 CONSTRAINT forward_policy_max_seconds_check CHECK (max_seconds BETWEEN 1 AND 86400),
    CONSTRAINT forward_policy_pkey PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE forward_policy IS 'What forwarding to numbers may cost a tenant; no row: the defaults.';
COMMENT ON COLUMN forward_policy.to_numbers IS 'Whether accounts may forward out at all.';
COMMENT ON COLUMN forward_policy.max_calls IS 'Forwarded calls at once of one account.';
COMMENT ON COLUMN forward_policy.max_cost IS 'Most that a call of the expected length may cost; then gateways without a rate are not used either. Null: no limit.';
COMMENT ON COLUMN forward_policy.max_seconds IS 'A forwarded call ends after this time.';

CREATE TABLE stored_message (
    tenant_id     integer NOT NULL CONSTRAINT stored_message_tenant_fkey REFERENCES tenant,
    message_id    bigint GENERATED ALWAYS AS IDENTITY,
    account_id    integer NOT NULL,
    sender        text NOT NULL,
    content_type  text NOT NULL,
    body          text NOT NULL CONSTRAINT stored_message_body_check CHECK (octet_length(body) <= 8192),
    stored_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    attempts      integer NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stored_message_pkey PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT stored_message_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE stored_message IS 'Instant messages that wait until a phone of the account is registered; gone when it has them.';
COMMENT ON COLUMN stored_message.next_at IS 'Not tried before; later after each attempt that failed.';
CREATE INDEX stored_message_next_idx ON stored_message (next_at);
COMMENT ON INDEX stored_message_next_idx IS 'What the proxies may try to deliver now.';
CREATE INDEX stored_message_account_idx ON stored_message (tenant_id, account_id);
COMMENT ON INDEX stored_message_account_idx IS 'How many messages wait for an account (store_message, account rm).';

-- ----------------------------------------------------------------------------------------- functions

CREATE FUNCTION refuse_shared_name() RETURNS trigger LANGUAGE plpgsql AS $$
-- A hunt group is dialled as an account is: of two of one name nobody could say which rings.
BEGIN
    IF TG_TABLE_NAME = 'hunt_group' THEN
        IF EXISTS (SELECT FROM account WHERE tenant_id = NEW.tenant_id AND username = NEW.name) THEN
            RAISE unique_violation USING CONSTRAINT = 'hunt_group_account_key';
        END IF;
    ELSIF EXISTS (SELECT FROM hunt_group WHERE tenant_id = NEW.tenant_id AND name = NEW.username) THEN
        RAISE unique_violation USING CONSTRAINT = 'account_hunt_group_key';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION refuse_shared_name() IS 'Trigger: an account and a hunt group of a tenant never have one name.';

CREATE FUNCTION set_account_flag(p_tenant integer, p_account integer, p_flag text, p_on boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO account_service (tenant_id, account_id) VALUES (p_tenant, p_account) ON CONFLICT DO NOTHING;
    UPDATE account_service
    SET do_not_disturb = CASE p_flag WHEN 'do_not_disturb' THEN p_on ELSE do_not_disturb END,
        reject_anonymous = CASE p_flag WHEN 'reject_anonymous' THEN p_on ELSE reject_anonymous END,
        hide_number = CASE p_flag WHEN 'hide_number' THEN p_on ELSE hide_number END
    WHERE tenant_id = p_tenant AND account_id = p_account;
END $$;
COMMENT ON FUNCTION set_account_flag(integer, integer, text, boolean) IS 'Switches one service of an account on or off.';

CREATE FUNCTION account_service_by_code(p_tenant integer, p_account integer, p_action star_action, p_argument text, p_slot text, p_seconds integer)
RETURNS void LANGUAGE plpgsql AS $$
-- What a person changed from the phone. An argument that names a colleague is a forwarding to his account.
DECLARE
    v_word text := p_action::text;
    v_condition forward_condition;
    v_kind forward_kind;
BEGIN
    IF v_word ~ '^forward_' THEN
        v_condition := regexp_replace(v_word, '^forward_(.*?)(_off)?$', '\1')::forward_condition;
        DELETE FROM account_forward WHERE tenant_id = p_tenant AND account_id = p_account AND condition = v_condition;
        IF v_word !~ '_off$' THEN
            v_kind := CASE WHEN EXISTS (SELECT FROM account WHERE tenant_id = p_tenant AND username = p_argument)
                             OR EXISTS (SELECT FROM hunt_group WHERE tenant_id = p_tenant AND name = p_argument)
                           THEN 'account' ELSE 'number' END;
            INSERT INTO account_forward (tenant_id, account_id, condition, kind, destination, seconds)
            VALUES (p_tenant, p_account, v_condition, v_kind, p_argument, CASE WHEN v_condition = 'no_answer' THEN p_seconds END);
        END IF;
    ELSIF v_word IN ('dnd_on', 'dnd_off') THEN
        PERFORM set_account_flag(p_tenant, p_account, 'do_not_disturb', v_word = 'dnd_on');
    ELSIF v_word IN ('anonymous_reject_on', 'anonymous_reject_off') THEN
        PERFORM set_account_flag(p_tenant, p_account, 'reject_anonymous', v_word = 'anonymous_reject_on');
    ELSIF v_word IN ('hide_on', 'hide_off') THEN
        PERFORM set_account_flag(p_tenant, p_account, 'hide_number', v_word = 'hide_on');
    ELSIF v_word = 'block' THEN
        INSERT INTO account_caller (tenant_id, account_id, pattern, list)
        VALUES (p_tenant, p_account, ltrim(p_argument, '+'), 'black')
        ON CONFLICT ON CONSTRAINT account_caller_pkey DO UPDATE SET list = 'black';
    ELSIF v_word = 'unblock' THEN
        DELETE FROM account_caller
        WHERE tenant_id = p_tenant AND account_id = p_account AND pattern = ltrim(p_argument, '+') AND list = 'black';
    ELSIF v_word = 'speed_set' THEN
        INSERT INTO account_speed_dial (tenant_id, account_id, slot, destination)
        VALUES (p_tenant, p_account, p_slot, p_argument)
        ON CONFLICT ON CONSTRAINT account_speed_dial_pkey DO UPDATE SET destination = EXCLUDED.destination;
    ELSE
        RAISE invalid_parameter_value USING MESSAGE = format('%s changes nothing', p_action);
    END IF;
END $$;
COMMENT ON FUNCTION account_service_by_code(integer, integer, star_action, text, text, integer) IS 'Does what a code that was dialled says.';

CREATE FUNCTION store_message(p_tenant integer, p_account integer, p_sender text, p_type text, p_body text, p_keep interval, p_most integer)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM stored_message WHERE tenant_id = p_tenant AND account_id = p_account) >= p_most THEN
        RETURN false;
    END IF;
    INSERT INTO stored_message (tenant_id, account_id, sender, content_type, body, expires_at)
    VALUES (p_tenant, p_account, p_sender, p_type, p_body, clock_timestamp() + p_keep);
    RETURN true;
END $$;
COMMENT ON FUNCTION store_message(integer, integer, text, text, text, interval, integer) IS 'Keeps a message for an account; false: too many wait already.';

CREATE FUNCTION claim_messages(p_ids bigint[]) RETURNS bigint[] LANGUAGE sql AS $$
    WITH due AS (
        SELECT tenant_id, message_id FROM stored_message
        WHERE message_id = ANY (p_ids) AND next_at <= clock_timestamp() FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE stored_message m
        SET attempts = attempts + 1, next_at = clock_timestamp() + least(interval '1 hour', interval '15 s' * 2 ^ least(attempts, 10))
        FROM due WHERE (m.tenant_id, m.message_id) = (due.tenant_id, due.message_id)
        RETURNING m.message_id)
    SELECT coalesce(array_agg(message_id), '{}') FROM claimed
$$;
COMMENT ON FUNCTION claim_messages(bigint[]) IS 'Which of these messages the caller may try now; nobody else does until their next time.';

-- ------------------------------------------------------------------------------------------ triggers

CREATE TRIGGER hunt_group_shared_name BEFORE INSERT OR UPDATE OF name ON hunt_group FOR EACH ROW EXECUTE FUNCTION refuse_shared_name();
CREATE TRIGGER account_shared_name BEFORE INSERT OR UPDATE OF username ON account FOR EACH ROW EXECUTE FUNCTION refuse_shared_name();

CALL log_changes_of('account_service', 'account_id', '{}');
CALL log_changes_of('account_forward', 'account_id', '{}');
CALL log_changes_of('account_caller', 'account_id', '{}');
CALL log_changes_of('account_speed_dial', 'account_id', '{}');
CALL log_changes_of('hunt_group', 'group_id', '{}');
CALL log_changes_of('hunt_group_member', 'group_id', '{}');
CALL log_changes_of('service_code', 'tenant_id', '{}');
CALL log_changes_of('forward_policy', 'tenant_id', '{}');

CALL protect_tenant_rows('account_service');
CALL protect_tenant_rows('account_forward');
CALL protect_tenant_rows('account_caller');
CALL protect_tenant_rows('account_speed_dial');
CALL protect_tenant_rows('hunt_group');
CALL protect_tenant_rows('hunt_group_member');
CALL protect_tenant_rows('service_code');
CALL protect_tenant_rows('forward_policy');
CALL protect_tenant_rows('stored_message');

CALL audit_changes_of('account_service', '{}', '{}', '');
CALL audit_changes_of('account_forward', '{}', '{}', '');
CALL audit_changes_of('account_caller', '{}', '{}', '');
CALL audit_changes_of('account_speed_dial', '{}', '{}', '');
CALL audit_changes_of('hunt_group', '{}', '{}', '');
CALL audit_changes_of('hunt_group_member', '{}', '{}', '');
CALL audit_changes_of('service_code', '{}', '{}', '');
CALL audit_changes_of('forward_policy', '{}', '{}', '');
