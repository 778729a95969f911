-- Known recordings of networks (what an operator's announcement means), and early media that nobody knows yet.

CREATE TYPE hangup_reason AS ENUM (
    'not_existing',  -- no subscriber has the number
    'changed',       -- the number has changed
    'unreachable',   -- switched off, or out of reach
    'busy',          -- the subscriber talks to somebody else
    'no_answer',     -- it rang, and the network gave up
    'barred',        -- the subscriber takes no calls, or none of ours
    'congestion',    -- the network has no way there at the moment
    'voicemail',     -- voice mail, or an answering machine
    'fax',           -- a fax machine
    'wait',          -- says nothing about the subscriber (ring-back music): waiting goes on
    'other'          -- anything else
);
COMMENT ON TYPE hangup_reason IS 'Why a call came to nothing, as a tone or a message says it (callcore/ears_verdict.py).';

CREATE TABLE fingerprint (
    tenant_id       integer NOT NULL CONSTRAINT fingerprint_tenant_fkey REFERENCES tenant,
    fingerprint_id  integer GENERATED ALWAYS AS IDENTITY,
    name            text NOT NULL CONSTRAINT fingerprint_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    reason          hangup_reason NOT NULL,
    note            text NOT NULL DEFAULT '' CONSTRAINT fingerprint_note_check CHECK (length(note) <= 1000),
    duration_ms     integer NOT NULL CONSTRAINT fingerprint_duration_check CHECK (duration_ms BETWEEN 1 AND 60000),
    version         smallint NOT NULL,
    words           bytea NOT NULL,
    sounds          bytea NOT NULL,
    audio           bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by      text NOT NULL DEFAULT '',
    CONSTRAINT fingerprint_pkey PRIMARY KEY (tenant_id, fingerprint_id),
    CONSTRAINT fingerprint_id_key UNIQUE (fingerprint_id),
    CONSTRAINT fingerprint_name_key UNIQUE (tenant_id, name)
);
COMMENT ON TABLE fingerprint IS 'Recordings that ks-ears recognises, with the reason that each stands for; those of tenant 0 are known to everybody.';
COMMENT ON COLUMN fingerprint.version IS 'Of the way words are made (callcore/ears_fingerprint.py): those of another version are made anew from the audio.';
COMMENT ON COLUMN fingerprint.words IS 'One 32-bit word, little-endian, for each 12.5 ms.';
COMMENT ON COLUMN fingerprint.sounds IS 'A bit for each word, most significant first: it counts (no pause, no tone).';
COMMENT ON COLUMN fingerprint.audio IS 'A-law, 8000 octets a second.';

CREATE TABLE media_cluster (
    tenant_id       integer NOT NULL CONSTRAINT media_cluster_tenant_fkey REFERENCES tenant,
    cluster_id      integer GENERATED ALWAYS AS IDENTITY,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    calls           integer NOT NULL CONSTRAINT media_cluster_calls_check CHECK (calls > 0),
    fingerprint_id  integer,
    duration_ms     integer NOT NULL,
    version         smallint NOT NULL,
    words           bytea NOT NULL,
    sounds          bytea NOT NULL,
    audio           bytea NOT NULL,
    CONSTRAINT media_cluster_pkey PRIMARY KEY (tenant_id, cluster_id),
    CONSTRAINT media_cluster_id_key UNIQUE (cluster_id),
    CONSTRAINT media_cluster_fingerprint_fkey FOREIGN KEY (tenant_id, fingerprint_id)
        REFERENCES fingerprint ON DELETE SET NULL (fingerprint_id)
);
COMMENT ON TABLE media_cluster IS 'Early media of failed calls that sounds the same; the longest sample stands for all. One label covers its calls.';
COMMENT ON COLUMN media_cluster.calls IS 'How many failed calls heard it, those that are not kept any more included.';
COMMENT ON COLUMN media_cluster.fingerprint_id IS 'What it was labelled; null: nobody has listened yet.';
CREATE INDEX media_cluster_last_idx ON media_cluster (tenant_id, last_at);
COMMENT ON INDEX media_cluster_last_idx IS 'Which clusters go when there are too many.';
CREATE INDEX media_cluster_fingerprint_idx ON media_cluster (tenant_id, fingerprint_id) WHERE fingerprint_id IS NOT NULL;
COMMENT ON INDEX media_cluster_fingerprint_idx IS 'Fingerprint rm: the label goes with the fingerprint.';

CREATE TABLE early_media (
    tenant_id       integer NOT NULL CONSTRAINT early_media_tenant_fkey REFERENCES tenant,
    early_media_id  uuid NOT NULL,
    cluster_id      integer NOT NULL,
    call_id         uuid,
    number          text NOT NULL DEFAULT '' CONSTRAINT early_media_number_check CHECK (length(number) <= 128),
    code            smallint CONSTRAINT early_media_code_check CHECK (code BETWEEN 300 AND 699),
    heard_at        timestamptz NOT NULL,
    duration_ms     integer NOT NULL,
    CONSTRAINT early_media_pkey PRIMARY KEY (tenant_id, early_media_id),
    CONSTRAINT early_media_cluster_fkey FOREIGN KEY (tenant_id, cluster_id) REFERENCES media_cluster ON DELETE CASCADE
);
COMMENT ON TABLE early_media IS 'Failed calls whose early media nobody knew; the sound itself is kept once, with the cluster.';
COMMENT ON COLUMN early_media.early_media_id IS 'UUIDv7 of ks-ears: storing it twice changes nothing.';
COMMENT ON COLUMN early_media.code IS 'Final SIP response; null: the dialler gave up.';
CREATE INDEX early_media_cluster_idx ON early_media (tenant_id, cluster_id, heard_at);
COMMENT ON INDEX early_media_cluster_idx IS 'Calls of a cluster, the latest first.';

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL audit_changes_of('fingerprint', '{audio,words,sounds}', '{}', '');
CALL protect_tenant_rows('fingerprint', shared => true);
CALL protect_tenant_rows('media_cluster', shared => false);
CALL protect_tenant_rows('early_media', shared => false);
