-- What programs may see and what is written down of them: the role of the API with row-level security, tokens,
-- the audit log. A table of a later file joins in by the procedures of this one:
--   CALL protect_tenant_rows('queue');                       -- it has tenant_id; a tenant sees its own rows
--   CALL audit_changes_of('queue', '{}', '{}', '');           -- who changed what, and the event config.queue
-- tests/integration/api/test_isolation.py finds a table that joined neither.

-- ------------------------------------------------------------------------------------- the role kalibri_api
-- The API acts for a tenant as this role, in a transaction with SET LOCAL kalibri.tenant_id. It never bypasses
-- row-level security; without the setting it sees nothing. What the system itself asks for runs as the owner.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kalibri_api') THEN
        CREATE ROLE kalibri_api NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'kalibri_api', 'MEMBER') THEN
        GRANT kalibri_api TO CURRENT_USER;
    END IF;
END $$;

GRANT USAGE ON SCHEMA public, kamailio TO kalibri_api;

-- ---------------------------------------------------------------------------------------------- enums

CREATE TYPE api_scope AS ENUM (
    'read',        -- lists and shows
    'agent',       -- what an agent does for himself
    'supervisor',  -- read, and steering calls, queues and agents
    'admin'        -- everything of the tenant, configuration included
);

-- --------------------------------------------------------------------------------------------- tables

CREATE TABLE api_token (
    token_id      integer GENERATED ALWAYS AS IDENTITY CONSTRAINT api_token_pkey PRIMARY KEY,
    tenant_id     integer NOT NULL CONSTRAINT api_token_tenant_fkey REFERENCES tenant,
    name          text NOT NULL CONSTRAINT api_token_name_check
                  CHECK (name <> '' AND name !~ '^ | $|[[:cntrl:]]' AND length(name) <= 128),
    scopes        api_scope[] NOT NULL CONSTRAINT api_token_scopes_check CHECK (cardinality(scopes) > 0),
    secret_hash   text NOT NULL CONSTRAINT api_token_secret_hash_check CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
    account       text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    ticket_of     integer CONSTRAINT api_token_ticket_fkey REFERENCES api_token ON DELETE CASCADE
);
COMMENT ON TABLE api_token IS 'Tokens of programs and logged-in accounts. Only the SHA-256 of the secret is kept: it has 256 random bits, so no salt is needed.';
COMMENT ON COLUMN api_token.tenant_id IS '0: a token of the system, for all tenants.';
COMMENT ON COLUMN api_token.account IS 'User name of the account that logged in: the token acts for it alone. Null: a program''s token.';
COMMENT ON COLUMN api_token.ticket_of IS 'A ticket stands for this token for a minute, in the address of a stream, where a browser can put no header.';
COMMENT ON COLUMN api_token.last_used_at IS 'To the minute: not each request writes.';
CREATE INDEX api_token_tenant_idx ON api_token (tenant_id, token_id);
COMMENT ON INDEX api_token_tenant_idx IS 'token list.';
CREATE INDEX api_token_ticket_idx ON api_token (ticket_of) WHERE ticket_of IS NOT NULL;
COMMENT ON INDEX api_token_ticket_idx IS 'Tickets go with their token.';

CREATE TABLE audit_log (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_log_pkey PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id  integer,
    actor      text NOT NULL,
    origin     text NOT NULL,
    noun       text NOT NULL,
    operation  text NOT NULL CONSTRAINT audit_log_operation_check CHECK (operation IN ('insert', 'update', 'delete')),
    key        jsonb NOT NULL,
    before     jsonb,
    after      jsonb
);
COMMENT ON TABLE audit_log IS 'Who changed what, before and after; written by triggers, so no way into the tables avoids it. Append only.';
COMMENT ON COLUMN audit_log.tenant_id IS 'Whose object it is; null: the system''s, or its owner is not known any more.';
COMMENT ON COLUMN audit_log.actor IS 'token 7 (crm), account acme/101, user of the machine, or the program.';
COMMENT ON COLUMN audit_log.origin IS 'api, ksctl, or the application_name of what else wrote.';
COMMENT ON COLUMN audit_log.key IS 'Primary key of the row; {"rows": n} when one statement changed too many to name.';
COMMENT ON COLUMN audit_log.before IS 'Of an update only what changed; secrets are shown as ***.';
CREATE INDEX audit_log_tenant_idx ON audit_log (tenant_id, audit_id);
COMMENT ON INDEX audit_log_tenant_idx IS 'audit list of a tenant.';
CREATE INDEX audit_log_at_idx ON audit_log (at);
COMMENT ON INDEX audit_log_at_idx IS 'audit list by time; ks-worker removes what is older than the law asks for.';

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION api_tenant() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('kalibri.tenant_id', true), '')::integer
$$;
COMMENT ON FUNCTION api_tenant() IS 'The tenant for which the API acts in this transaction; null: none, and then no row is visible.';

CREATE PROCEDURE protect_tenant_rows(noun text, shared boolean DEFAULT false) LANGUAGE plpgsql AS $$
-- shared: rows of tenant 0 (the system) serve everybody and may be read by everybody.
DECLARE
    own text := 'tenant_id = api_tenant()';
    sequence text;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', noun);
    EXECUTE format('CREATE POLICY tenant_rows ON %s TO kalibri_api USING (%s) WITH CHECK (%s)', noun, own, own);
    IF shared THEN
        EXECUTE format('CREATE POLICY system_rows ON %s FOR SELECT TO kalibri_api USING (tenant_id = 0)', noun);
    END IF;
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO kalibri_api', noun);
    FOR sequence IN
        SELECT pg_get_serial_sequence(noun, attname) FROM pg_attribute
        WHERE attrelid = noun::regclass AND attnum > 0 AND attidentity <> ''
    LOOP
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO kalibri_api', sequence);
    END LOOP;
END $$;
COMMENT ON PROCEDURE protect_tenant_rows(text, boolean) IS
    'Opens a table with the column tenant_id to the API, each tenant its own rows; shared: the rows of tenant 0 can be read by all.';

CREATE PROCEDURE protect_rows_of(noun text, parent text, key text, shared boolean DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
    owned text := format('EXISTS (SELECT FROM %s p WHERE p.%I = %s.%I AND p.tenant_id = ', parent, key, noun, key);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', noun);
    EXECUTE format('CREATE POLICY tenant_rows ON %s TO kalibri_api USING (%s) WITH CHECK (%s)',
                   noun, owned || 'api_tenant())', owned || 'api_tenant())');
    IF shared THEN
        EXECUTE format('CREATE POLICY system_rows ON %s FOR SELECT TO kalibri_api USING (%s)', noun, owned || '0)');
    END IF;
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO kalibri_api', noun);
END $$;
COMMENT ON PROCEDURE protect_rows_of(text, text, text, boolean) IS
    'Opens a table without tenant_id to the API: its rows belong to whom the row of the parent table with the same key belongs.';

CREATE PROCEDURE open_for_reading(noun text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', noun);
    EXECUTE format('CREATE POLICY everybody_reads ON %s FOR SELECT TO kalibri_api USING (true)', noun);
    EXECUTE format('GRANT SELECT ON %s TO kalibri_api', noun);
END $$;
COMMENT ON PROCEDURE open_for_reading(text) IS 'Lets every tenant read a table that belongs to nobody (number ranges).';

CREATE PROCEDURE open_for_adding(noun text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', noun);
    EXECUTE format('CREATE POLICY everybody_adds ON %s FOR INSERT TO kalibri_api WITH CHECK (true)', noun);
    EXECUTE format('GRANT INSERT ON %s TO kalibri_api', noun);
END $$;
COMMENT ON PROCEDURE open_for_adding(text) IS
    'Lets changes of a tenant add rows that it cannot read: change log, commands to media hosts.';

CREATE FUNCTION audit_key(changed jsonb, keys text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(name, changed -> name), '{}') FROM unnest(keys) AS name
$$;
COMMENT ON FUNCTION audit_key(jsonb, text[]) IS 'The key columns of a row.';

CREATE FUNCTION audit_part(own jsonb, other jsonb, secrets text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, CASE WHEN key = ANY (secrets) AND value <> 'null' THEN '"***"' ELSE value END), '{}')
    FROM jsonb_each(own)
    WHERE other IS NULL OR value IS DISTINCT FROM other -> key
$$;
COMMENT ON FUNCTION audit_part(jsonb, jsonb, text[]) IS 'A row without what is the same in the other one, its secrets masked.';

CREATE FUNCTION audit_tenant(changed jsonb, parent text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT CASE parent
        WHEN '' THEN (changed ->> 'tenant_id')::integer
        WHEN 'gateway' THEN (SELECT tenant_id FROM gateway WHERE gateway_id = (changed ->> 'gateway_id')::integer)
        WHEN 'gateway_group' THEN (SELECT tenant_id FROM gateway_group WHERE group_id = (changed ->> 'group_id')::integer)
    END
$$;
COMMENT ON FUNCTION audit_tenant(jsonb, text) IS 'Whose a changed row is; null: nobody''s, or the parent is gone.';

CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
-- Arguments: key columns, secret columns, columns whose change is none, parent table that knows the tenant.
DECLARE
    keys text[] := TG_ARGV[0];
    secrets text[] := TG_ARGV[1];
    ignored text[] := TG_ARGV[2];
    parent text := TG_ARGV[3];
    verb text := lower(TG_OP);
    who text := coalesce(nullif(current_setting('kalibri.actor', true), ''), current_setting('application_name'));
    via text := coalesce(nullif(current_setting('kalibri.origin', true), ''), current_setting('application_name'));
    most constant integer := 10000;
    total bigint;
BEGIN
    SELECT count(*) INTO total FROM changed_rows;
    IF total = 0 THEN
        RETURN NULL;
    ELSIF total > most THEN
        INSERT INTO audit_log (tenant_id, actor, origin, noun, operation, key)
        SELECT (to_jsonb(n) ->> 'tenant_id')::integer, who, via, TG_TABLE_NAME, verb, jsonb_build_object('rows', count(*))
        FROM changed_rows n GROUP BY 1;
    ELSIF TG_OP = 'UPDATE' THEN
        WITH o AS MATERIALIZED (SELECT to_jsonb(x) AS was_row FROM old_rows x),
             n AS MATERIALIZED (SELECT to_jsonb(x) AS new_row FROM changed_rows x)
        INSERT INTO audit_log (tenant_id, actor, origin, noun, operation, key, before, after)
        SELECT audit_tenant(coalesce(new_row, was_row), parent), who, via, TG_TABLE_NAME, verb, audit_key(coalesce(new_row, was_row), keys),
               audit_part(was_row, new_row, secrets), audit_part(new_row, was_row, secrets)
        FROM o FULL JOIN n ON audit_key(was_row, keys) = audit_key(new_row, keys)
        WHERE was_row - ignored IS DISTINCT FROM new_row - ignored;
    ELSE
        INSERT INTO audit_log (tenant_id, actor, origin, noun, operation, key, before, after)
        SELECT audit_tenant(changed, parent), who, via, TG_TABLE_NAME, verb, audit_key(changed, keys),
               CASE verb WHEN 'delete' THEN audit_part(changed, NULL, secrets) END,
               CASE verb WHEN 'insert' THEN audit_part(changed, NULL, secrets) END
        FROM (SELECT to_jsonb(x) AS changed FROM changed_rows x) AS rows;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_change() IS 'Statement trigger: one row of audit_log a changed row; beyond 10000 one a tenant.';

CREATE PROCEDURE audit_changes_of(noun text, secrets text[], ignored text[], parent text) LANGUAGE plpgsql AS $$
DECLARE
    keys text[];
    event text;
    tables text;
BEGIN
    SELECT array_agg(attname) INTO STRICT keys
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = noun::regclass AND indisprimary;
    FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
        tables := CASE event WHEN 'INSERT' THEN 'NEW TABLE AS changed_rows' WHEN 'DELETE' THEN 'OLD TABLE AS changed_rows'
                  ELSE 'OLD TABLE AS old_rows NEW TABLE AS changed_rows' END;
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %I REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION audit_change(%L, %L, %L, %L)',
                       noun || '_audit_' || lower(event), event, noun, tables, keys, secrets, ignored, parent);
    END LOOP;
END $$;
COMMENT ON PROCEDURE audit_changes_of(text, text[], text[], text) IS
    'Writes down who changes a table: its name, columns that hold secrets, columns whose change is none, the parent table that knows the tenant (empty: the column tenant_id).';

CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('kalibri.retention', true), '') <> TG_TABLE_NAME THEN
        RAISE EXCEPTION '% only grows: it is not changed and not shortened', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION refuse_to_forget() IS 'Statement trigger of a log that only grows; ks-worker says by a setting that what it removes is old.';

-- ------------------------------------------------------------------------------------------- triggers

CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

CALL audit_changes_of('tenant', '{}', '{}', '');
CALL audit_changes_of('domain', '{}', '{}', '');
CALL audit_changes_of('account', '{ha1_md5,ha1_sha256}', '{}', '');
CALL audit_changes_of('account_domain', '{}', '{}', '');
CALL audit_changes_of('address_book_entry', '{}', '{}', '');
CALL audit_changes_of('gateway', '{}', '{health,health_reason,health_changed_at}', '');
CALL audit_changes_of('gateway_rate', '{}', '{}', 'gateway');
CALL audit_changes_of('gateway_group', '{}', '{}', '');
CALL audit_changes_of('gateway_group_member', '{}', '{}', 'gateway_group');
CALL audit_changes_of('trunk', '{auth_ha1}', '{state,state_reason,state_changed_at}', 'gateway');
CALL audit_changes_of('schedule', '{}', '{}', '');
CALL audit_changes_of('caller_id', '{}', '{}', '');
CALL audit_changes_of('route_folder', '{}', '{}', '');
CALL audit_changes_of('route', '{}', '{changed_at}', '');
CALL audit_changes_of('number_range_set', '{}', '{}', '');
CALL audit_changes_of('number', '{}', '{changed_at}', '');
CALL audit_changes_of('node', '{}', '{heartbeat_at,data}', '');
CALL audit_changes_of('api_token', '{secret_hash}', '{last_used_at}', '');

-- ---------------------------------------------------------------------------------- row-level security
-- Tables that are not named here stay closed to the API's role: nodes, journals, migrations.

CALL protect_tenant_rows('tenant', shared => true);
CALL protect_tenant_rows('domain');
CALL protect_tenant_rows('account');
CALL protect_tenant_rows('account_domain');
CALL protect_tenant_rows('address_book_entry');
CALL protect_tenant_rows('gateway', shared => true);
CALL protect_tenant_rows('gateway_group', shared => true);
CALL protect_tenant_rows('schedule', shared => true);
CALL protect_tenant_rows('caller_id', shared => true);
CALL protect_tenant_rows('route_folder');
CALL protect_tenant_rows('route');
CALL protect_tenant_rows('number');
CALL protect_tenant_rows('call');
CALL protect_tenant_rows('call_event');
CALL protect_tenant_rows('api_token');
CALL protect_rows_of('gateway_rate', 'gateway', 'gateway_id');
CALL protect_rows_of('trunk', 'gateway', 'gateway_id');
CALL protect_rows_of('gateway_group_member', 'gateway_group', 'group_id', shared => true);
CALL open_for_reading('number_range');
CALL open_for_reading('number_range_set');
CALL open_for_adding('change_log');
-- "Is it live yet?" asks for the newest number, and what else is in the log concerns other tenants.
CREATE POLICY everybody_counts ON change_log FOR SELECT TO kalibri_api USING (true);
GRANT SELECT (seq) ON change_log TO kalibri_api;
REVOKE INSERT, UPDATE, DELETE ON call, call_event, tenant FROM kalibri_api;
-- A row lock (the realm of an account's tenant must not change meanwhile) asks for the right to change some column.
GRANT UPDATE (time_zone) ON tenant TO kalibri_api;

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON audit_log FOR SELECT TO kalibri_api USING (tenant_id = api_tenant());
GRANT SELECT ON audit_log TO kalibri_api;

-- How many phones of an account are registered. The proxy writes this table as another role, which sees all of it.
ALTER TABLE kamailio.location ENABLE ROW LEVEL SECURITY;
CREATE POLICY proxy_rows ON kamailio.location TO kamailio USING (true) WITH CHECK (true);
CREATE POLICY tenant_rows ON kamailio.location FOR SELECT TO kalibri_api
    USING (EXISTS (SELECT FROM domain d WHERE d.name = location.domain AND d.tenant_id = api_tenant()));
GRANT SELECT ON kamailio.location TO kalibri_api;
