-- Voice mail: which messages wait in which mailbox, who has heard them, and the letters that carry them (docs/services.md).
-- The sound is a recording with reason `message`; B of it is the mailbox.

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE letter_state AS ENUM (
    'none',     -- nobody wants this message by e-mail
    'pending',  -- to be sent, for the first time or again
    'sent',     -- a mail server took it
    'dead'      -- given up; a person may have it sent again
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE mailbox (
    tenant_id   integer NOT NULL CONSTRAINT mailbox_tenant_fkey REFERENCES tenant,
    name        text NOT NULL CONSTRAINT mailbox_name_check CHECK (name ~ '^[A-Za-z0-9_.+*#-]{1,64}$'),
    account_id  integer,
    recipients  text[] NOT NULL CONSTRAINT mailbox_recipients_check CHECK (cardinality(recipients) >= 1 AND cardinality(recipients) <= 20),
    CONSTRAINT mailbox_pkey PRIMARY KEY (tenant_id, name),
    CONSTRAINT mailbox_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE mailbox IS 'Mailboxes whose messages go out by e-mail; every other one needs no row.';
COMMENT ON COLUMN mailbox.name IS 'User name of an account, or the word that a `record` node of a scenario gives.';
COMMENT ON COLUMN mailbox.account_id IS 'The account of this name: the addresses go with it, and its successor of the same name begins with none.';
CREATE INDEX mailbox_account_idx ON mailbox (tenant_id, account_id);
COMMENT ON INDEX mailbox_account_idx IS 'The mailbox of an account (account rm).';

CREATE TABLE voice_message (
    tenant_id          integer NOT NULL CONSTRAINT voice_message_tenant_fkey REFERENCES tenant,
    recording_id       uuid NOT NULL,
    mailbox            text NOT NULL,
    account_id         integer,
    caller             text NOT NULL,
    left_at            timestamptz NOT NULL,
    duration_ms        bigint NOT NULL,
    arrived_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    heard_at           timestamptz,
    heard_by           text NOT NULL DEFAULT '',
    letter             letter_state NOT NULL DEFAULT 'none',
    letter_attempts    integer NOT NULL DEFAULT 0,
    letter_next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    letter_give_up_at  timestamptz,
    letter_sent_at     timestamptz,
    letter_error       text NOT NULL DEFAULT '',
    CONSTRAINT voice_message_pkey PRIMARY KEY (tenant_id, recording_id),
    CONSTRAINT voice_message_recording_fkey FOREIGN KEY (tenant_id, recording_id) REFERENCES recording,
    CONSTRAINT voice_message_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT voice_message_letter_check CHECK (letter <> 'pending' OR letter_give_up_at IS NOT NULL)
);
COMMENT ON TABLE voice_message IS 'Messages in mailboxes: since the sound can be played, until the recording is removed. With an account its mailbox goes; the recordings stay.';
COMMENT ON COLUMN voice_message.account_id IS 'Whose mailbox it is; null: that of no account, which no phone can watch.';
COMMENT ON COLUMN voice_message.heard_at IS 'Null: new.';
COMMENT ON COLUMN voice_message.letter_error IS 'What the last attempt to send it said; also recipients that were refused.';
CREATE INDEX voice_message_box_idx ON voice_message (tenant_id, mailbox, left_at);
COMMENT ON INDEX voice_message_box_idx IS 'Messages of a mailbox (voicemail list).';
CREATE INDEX voice_message_account_idx ON voice_message (tenant_id, account_id);
COMMENT ON INDEX voice_message_account_idx IS 'How many messages wait for an account (lamps of phones, account rm).';
CREATE INDEX voice_message_letter_idx ON voice_message (letter_next_at) WHERE letter = 'pending';
COMMENT ON INDEX voice_message_letter_idx IS 'Letters that are to be sent (ks-worker, each few seconds).';

CREATE TABLE mailbox_phone (
    tenant_id     integer NOT NULL CONSTRAINT mailbox_phone_tenant_fkey REFERENCES tenant,
    name          text NOT NULL CONSTRAINT mailbox_phone_name_check CHECK (name ~ '^[A-Za-z0-9_.+*#-]{1,64}$'),
    account_id    integer,
    pin_hash      text NOT NULL DEFAULT '',
    language      text NOT NULL DEFAULT 'ru' CONSTRAINT mailbox_phone_language_check CHECK (language IN ('ru', 'en')),
    failures      integer NOT NULL DEFAULT 0,
    locked_until  timestamptz,
    CONSTRAINT mailbox_phone_pkey PRIMARY KEY (tenant_id, name),
    CONSTRAINT mailbox_phone_account_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE mailbox_phone IS 'How mailboxes are listened to by telephone; no row: in Russian, and from the own telephone only.';
COMMENT ON COLUMN mailbox_phone.account_id IS 'The account of this name: its PIN goes with it.';
COMMENT ON COLUMN mailbox_phone.pin_hash IS 'scrypt of the PIN that opens it from another telephone; empty: none does.';
COMMENT ON COLUMN mailbox_phone.failures IS 'PINs that were tried since the last right one; one that is being compared counts already.';
COMMENT ON COLUMN mailbox_phone.locked_until IS 'Until then no PIN opens it.';
CREATE INDEX mailbox_phone_account_idx ON mailbox_phone (tenant_id, account_id);
COMMENT ON INDEX mailbox_phone_account_idx IS 'The mailbox of an account (account rm).';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION keep_voice_message() RETURNS trigger LANGUAGE plpgsql AS $$
-- What is shorter than a second is no message: callers who hang up at the tone leave such recordings.
BEGIN
    IF NEW.state = 'removed' THEN
        DELETE FROM voice_message WHERE tenant_id = NEW.tenant_id AND recording_id = NEW.recording_id;
    ELSIF NEW.state = 'indexed' AND NEW.b_number <> '' AND NEW.duration_ms >= 1000 THEN
        INSERT INTO voice_message (tenant_id, recording_id, mailbox, account_id, caller, left_at, duration_ms, letter, letter_give_up_at)
        SELECT NEW.tenant_id, NEW.recording_id, NEW.b_number, a.account_id, NEW.a_number, NEW.started_at, NEW.duration_ms,
               CASE WHEN m.name IS NULL THEN 'none' ELSE 'pending' END::letter_state, clock_timestamp() + interval '3 days'
        FROM (VALUES (NEW.b_number)) AS box (name)
        LEFT JOIN account a ON a.tenant_id = NEW.tenant_id AND a.username = box.name
        LEFT JOIN mailbox m ON m.tenant_id = NEW.tenant_id AND m.name = box.name
        ON CONFLICT ON CONSTRAINT voice_message_pkey DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION keep_voice_message() IS 'Row trigger of recording: a message is in its mailbox when it can be played, and out of it when the recording is removed.';

CREATE FUNCTION publish_voice_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_message voice_message := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    v_kinds text[] := '{}';
    v_data jsonb;
BEGIN
    IF TG_OP = 'INSERT' THEN
        v_kinds := ARRAY['voicemail.new'];
    ELSIF TG_OP = 'DELETE' THEN
        v_kinds := ARRAY['voicemail.removed'];
    ELSE
        IF (NEW.heard_at IS NULL) <> (OLD.heard_at IS NULL) THEN
            v_kinds := v_kinds || CASE WHEN NEW.heard_at IS NULL THEN 'voicemail.unheard' ELSE 'voicemail.heard' END;
        END IF;
        IF NEW.letter = 'sent' AND OLD.letter <> 'sent' THEN
            v_kinds := v_kinds || 'voicemail.mailed'::text;
        ELSIF NEW.letter_attempts > OLD.letter_attempts THEN
            v_kinds := v_kinds || 'voicemail.mail_failed'::text;
        END IF;
    END IF;
    v_data := jsonb_build_object('message_id', v_message.recording_id, 'mailbox', v_message.mailbox, 'caller', v_message.caller,
                                 'seconds', round(v_message.duration_ms / 1000.0, 1));
    IF 'voicemail.mail_failed' = ANY (v_kinds) OR 'voicemail.mailed' = ANY (v_kinds) THEN
        v_data := v_data || jsonb_build_object('attempts', v_message.letter_attempts, 'error', v_message.letter_error,
                                               'given_up', v_message.letter = 'dead');
    END IF;
    INSERT INTO event_outbox (at, tenant_id, kind, account, data)
    SELECT clock_timestamp(), v_message.tenant_id, kind,
           (SELECT username FROM account WHERE tenant_id = v_message.tenant_id AND account_id = v_message.account_id), v_data
    FROM unnest(v_kinds) AS kind;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publish_voice_message() IS 'Row trigger of voice_message: what happens to a message becomes events.';

CREATE FUNCTION voicemail_waiting(p_tenants integer[], p_names text[]) RETURNS TABLE (tenant_id integer, username text, new_count integer, old_count integer)
LANGUAGE sql STABLE AS $$
    SELECT a.tenant_id, a.username, count(m.recording_id) FILTER (WHERE m.heard_at IS NULL)::integer, count(m.heard_at)::integer
    FROM unnest(p_tenants, p_names) AS wanted (tenant_id, username)
    JOIN account a ON a.tenant_id = wanted.tenant_id AND a.username = wanted.username
    LEFT JOIN voice_message m ON m.tenant_id = a.tenant_id AND m.account_id = a.account_id
    GROUP BY a.tenant_id, a.username
$$;
COMMENT ON FUNCTION voicemail_waiting(integer[], text[]) IS 'How many new and heard messages these accounts have (lamps of phones).';

CREATE FUNCTION mailbox_try(p_tenant integer, p_mailbox text) RETURNS jsonb LANGUAGE plpgsql AS $$
-- The attempt counts before the PIN is compared: who guesses at many telephones at once gains nothing by it.
DECLARE
    v_box mailbox_phone;
    v_failures integer;
BEGIN
    SELECT * INTO v_box FROM mailbox_phone WHERE tenant_id = p_tenant AND name = p_mailbox AND pin_hash <> '' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('refused', 'wrong');
    ELSIF v_box.locked_until > clock_timestamp() THEN
        RETURN jsonb_build_object('refused', 'locked');
    END IF;
    v_failures := CASE WHEN v_box.locked_until IS NULL THEN v_box.failures ELSE 0 END + 1;
    UPDATE mailbox_phone
    SET failures = v_failures, locked_until = CASE WHEN v_failures >= 5 THEN clock_timestamp() + interval '15 minutes' END
    WHERE tenant_id = p_tenant AND name = p_mailbox;
    RETURN jsonb_build_object('pin_hash', v_box.pin_hash);
END $$;
COMMENT ON FUNCTION mailbox_try(integer, text) IS
    'Counts a PIN that is about to be compared and returns with what, or why none is: after five in a row the mailbox is locked for 15 minutes.';

CREATE FUNCTION mailbox_pin_right(p_tenant integer, p_mailbox text, p_pin_hash text) RETURNS boolean LANGUAGE plpgsql AS $$
-- Another PIN may have been set meanwhile: what was right for the old one opens nothing.
BEGIN
    UPDATE mailbox_phone SET failures = 0, locked_until = NULL
    WHERE tenant_id = p_tenant AND name = p_mailbox AND pin_hash = p_pin_hash AND pin_hash <> '';
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION mailbox_pin_right(integer, text, text) IS 'The PIN was the right one: forgets the attempts; false: it is not the PIN any more.';

CREATE FUNCTION mailbox_contents(p_tenant integer, p_mailbox text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'language', coalesce((SELECT language FROM mailbox_phone WHERE tenant_id = p_tenant AND name = p_mailbox), 'ru'),
        'zone', (SELECT time_zone FROM tenant WHERE tenant_id = p_tenant),
        'messages', coalesce((
            SELECT jsonb_agg(jsonb_build_object('id', recording_id, 'caller', caller, 'left_at', left_at, 'is_new', heard_at IS NULL)
                             ORDER BY heard_at IS NOT NULL, left_at, recording_id)
            FROM (SELECT * FROM voice_message WHERE tenant_id = p_tenant AND mailbox = p_mailbox
                  ORDER BY heard_at IS NOT NULL, left_at DESC LIMIT 100) AS latest), '[]'))
$$;
COMMENT ON FUNCTION mailbox_contents(integer, text) IS
    'What a caller hears of a mailbox: new messages first, then those heard, each from the oldest on; at most 100, the latest.';

CREATE FUNCTION mailbox_heard(p_tenant integer, p_mailbox text, p_message uuid, p_by text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE voice_message SET heard_at = clock_timestamp(), heard_by = p_by
    WHERE tenant_id = p_tenant AND mailbox = p_mailbox AND recording_id = p_message AND heard_at IS NULL;
    IF FOUND THEN
        INSERT INTO recording_event (tenant_id, recording_id, kind, by, data) VALUES (p_tenant, p_message, 'heard', p_by, '{}');
    END IF;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION mailbox_heard(integer, text, uuid, text) IS 'A message was heard by telephone; false: it was heard before, or is gone.';

CREATE FUNCTION mailbox_remove(p_tenant integer, p_mailbox text, p_messages uuid[], p_by text) RETURNS integer LANGUAGE plpgsql AS $$
-- The tombstones of recording.remove, for messages of one mailbox only; those under a legal hold stay.
DECLARE
    v_message uuid;
    v_count integer := 0;
BEGIN
    FOR v_message IN
        SELECT recording_id FROM voice_message
        WHERE tenant_id = p_tenant AND mailbox = p_mailbox AND recording_id = ANY (p_messages) ORDER BY recording_id
    LOOP
        UPDATE recording
        SET state = recording_next(state, 'remove'), state_at = clock_timestamp(), removed_at = clock_timestamp(), removed_by = p_by,
            a_number = '', b_number = '', marks = '[]', claimed_by = NULL, claimed_until = NULL
        WHERE tenant_id = p_tenant AND recording_id = v_message AND state <> 'removed' AND NOT legal_hold;
        IF FOUND THEN
            v_count := v_count + 1;
            INSERT INTO recording_event (tenant_id, recording_id, kind, by, data)
            VALUES (p_tenant, v_message, 'remove', p_by, jsonb_build_object('why', 'voice mail'));
        END IF;
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION mailbox_remove(integer, text, uuid[], text) IS 'Deletes messages of a mailbox with their recordings; returns how many went.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER recording_voice_message AFTER UPDATE OF state ON recording FOR EACH ROW
    WHEN (NEW.reason = 'message' AND NEW.state IN ('indexed', 'removed') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION keep_voice_message();
CREATE TRIGGER voice_message_publish AFTER INSERT OR UPDATE OR DELETE ON voice_message FOR EACH ROW EXECUTE FUNCTION publish_voice_message();

CALL audit_changes_of('mailbox', '{}', '{}', '');
CALL audit_changes_of('mailbox_phone', '{pin_hash}', '{failures,locked_until}', '');

-- ---------------------------------------------------------------------------------- row-level security

CALL protect_tenant_rows('mailbox');
CALL protect_tenant_rows('mailbox_phone');
CALL protect_tenant_rows('voice_message');
