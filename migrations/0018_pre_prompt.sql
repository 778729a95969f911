-- Prompts that tenants upload or have spoken, and music on hold.

CREATE TABLE prompt (
    tenant_id    integer NOT NULL CONSTRAINT prompt_tenant_fkey REFERENCES tenant,
    prompt_id    integer GENERATED ALWAYS AS IDENTITY,
    name         text NOT NULL CONSTRAINT prompt_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    language     text NOT NULL CONSTRAINT prompt_language_check CHECK (language ~ '^[a-z]{2,3}$'),
    version      integer NOT NULL CONSTRAINT prompt_version_check CHECK (version > 0),
    text         text NOT NULL DEFAULT '',
    voice        text NOT NULL DEFAULT '',
    source       text NOT NULL DEFAULT '',
    duration_ms  integer NOT NULL CONSTRAINT prompt_duration_check CHECK (duration_ms > 0),
    master       bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text NOT NULL DEFAULT '',
    CONSTRAINT prompt_pkey PRIMARY KEY (tenant_id, prompt_id),
    CONSTRAINT prompt_version_key UNIQUE (tenant_id, name, language, version)
);
COMMENT ON TABLE prompt IS 'Prompts; the newest version of a name and language is heard. Those of tenant 0 are for everybody who has none of the name.';
COMMENT ON COLUMN prompt.language IS 'ISO 639 code; any: the same in every language (music).';
COMMENT ON COLUMN prompt.text IS 'What espeak-ng spoke; empty: it was uploaded.';
COMMENT ON COLUMN prompt.source IS 'Name of the uploaded file, for people.';
COMMENT ON COLUMN prompt.master IS 'WAV, 16 kHz, one channel, at its final loudness: every machine compiles its own files from it.';

CREATE TABLE music_class (
    tenant_id  integer NOT NULL CONSTRAINT music_class_tenant_fkey REFERENCES tenant,
    name       text NOT NULL CONSTRAINT music_class_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    prompts    text[] NOT NULL CONSTRAINT music_class_prompts_check CHECK (cardinality(prompts) BETWEEN 1 AND 1000),
    CONSTRAINT music_class_pkey PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE music_class IS 'Music on hold by name, as queues ask for it; a tenant without a class of the name hears that of tenant 0.';
COMMENT ON COLUMN music_class.prompts IS 'Names of prompts, played one after the other.';

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL audit_changes_of('prompt', '{master}', '{}', '');
CALL audit_changes_of('music_class', '{}', '{}', '');
CALL protect_tenant_rows('prompt', shared => true);
CALL protect_tenant_rows('music_class', shared => true);
