-- Virtual offices: what one command has made, so that it can be shown and taken away again (docs/services.md).

CREATE TABLE office (
    tenant_id  integer NOT NULL CONSTRAINT office_tenant_fkey REFERENCES tenant,
    name       text NOT NULL CONSTRAINT office_name_check CHECK (name ~ '^[a-z][a-z0-9-]{0,30}$'),
    number     text NOT NULL,
    made       jsonb NOT NULL CONSTRAINT office_made_check CHECK (jsonb_typeof(made) = 'array'),
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_by    text NOT NULL DEFAULT '',
    CONSTRAINT office_pkey PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE office IS 'Virtual offices (ksctl office). Their parts are ordinary ones, and are changed as such.';
COMMENT ON COLUMN office.made IS '[{kind, name, how}] in the order in which it was made; how: what it was before, if that matters when it goes.';

CALL audit_changes_of('office', '{}', '{}', '');
CALL protect_tenant_rows('office');
