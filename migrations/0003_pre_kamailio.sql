-- ----------------------------------------------------------------------------- what Kamailio reads and writes
-- In a schema of its own (search_path of the role kamailio): names and columns are Kamailio 5.6's.
-- Where Kamailio only reads, views; where it writes, tables as in its own scripts.

CREATE SCHEMA kamailio;
COMMENT ON SCHEMA kamailio IS 'Tables in the shape that Kamailio 5.6 expects.';

CREATE TABLE kamailio.version (
    table_name     varchar(32) CONSTRAINT version_pkey PRIMARY KEY,
    table_version  integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE kamailio.version IS 'Versions that Kamailio''s modules ask for at start.';
INSERT INTO kamailio.version (table_name, table_version) VALUES
    ('version', 1), ('location', 9), ('dialog', 7), ('dialog_vars', 1), ('dispatcher', 4), ('uacreg', 5),
    ('subscriber', 7), ('address', 6), ('acc', 5), ('missed_calls', 4);

CREATE TABLE kamailio.location (
    id             serial CONSTRAINT location_pkey PRIMARY KEY,
    ruid           varchar(64) NOT NULL DEFAULT '' CONSTRAINT location_ruid_key UNIQUE,
    username       varchar(64) NOT NULL DEFAULT '',
    domain         varchar(64),
    contact        varchar(512) NOT NULL DEFAULT '',
    received       varchar(128),
    path           varchar(512),
    expires        timestamp NOT NULL DEFAULT '2030-05-28 21:32:15',
    q              real NOT NULL DEFAULT 1.0,
    callid         varchar(255) NOT NULL DEFAULT 'Default-Call-ID',
    cseq           integer NOT NULL DEFAULT 1,
    last_modified  timestamp NOT NULL DEFAULT '2000-01-01 00:00:01',
    flags          integer NOT NULL DEFAULT 0,
    cflags         integer NOT NULL DEFAULT 0,
    user_agent     varchar(255) NOT NULL DEFAULT '',
    socket         varchar(64),
    methods        integer,
    instance       varchar(255),
    reg_id         integer NOT NULL DEFAULT 0,
    server_id      integer NOT NULL DEFAULT 0,
    connection_id  integer NOT NULL DEFAULT 0,
    keepalive      integer NOT NULL DEFAULT 0,
    partition      integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE kamailio.location IS 'Registered contacts (usrloc, write-through).';
CREATE INDEX location_account_contact_idx ON kamailio.location (username, domain, contact);
COMMENT ON INDEX kamailio.location_account_contact_idx IS 'usrloc looks contacts up.';
CREATE INDEX location_expires_idx ON kamailio.location (expires);
COMMENT ON INDEX kamailio.location_expires_idx IS 'usrloc expires contacts.';

CREATE FUNCTION kamailio.own_server() RETURNS integer LANGUAGE sql STABLE AS $$
SELECT coalesce(nullif(current_setting('kalibri.server_id', true), '')::integer, 0);
$$;
COMMENT ON FUNCTION kamailio.own_server() IS 'Number of the proxy that this session belongs to (usrloc''s server_id; PGOPTIONS of its process); 0: of none.';

-- The dialog module knows of no other proxy: it loads, updates and deletes by hash alone. So each proxy sees its own
-- rows only (policies below); else one that restarts would take the calls of the others for its own, ask their phones
-- from an address that they do not answer, and end the calls.
CREATE TABLE kamailio.dialog (
    id                serial CONSTRAINT dialog_pkey PRIMARY KEY,
    hash_entry        integer NOT NULL,
    hash_id           integer NOT NULL,
    callid            varchar(255) NOT NULL,
    from_uri          varchar(255) NOT NULL,
    from_tag          varchar(128) NOT NULL,
    to_uri            varchar(255) NOT NULL,
    to_tag            varchar(128) NOT NULL,
    caller_cseq       varchar(20) NOT NULL,
    callee_cseq       varchar(20) NOT NULL,
    caller_route_set  varchar(512),
    callee_route_set  varchar(512),
    caller_contact    varchar(255) NOT NULL,
    callee_contact    varchar(255) NOT NULL,
    caller_sock       varchar(64) NOT NULL,
    callee_sock       varchar(64) NOT NULL,
    state             integer NOT NULL,
    start_time        integer NOT NULL,
    timeout           integer NOT NULL DEFAULT 0,
    sflags            integer NOT NULL DEFAULT 0,
    iflags            integer NOT NULL DEFAULT 0,
    toroute_name      varchar(32),
    req_uri           varchar(255) NOT NULL,
    xdata             varchar(512),
    server_id         integer NOT NULL DEFAULT kamailio.own_server()
);
COMMENT ON TABLE kamailio.dialog IS 'Confirmed dialogs (dialog module), reloaded when the proxy restarts.';
CREATE INDEX dialog_hash_idx ON kamailio.dialog (hash_entry, hash_id);
COMMENT ON INDEX kamailio.dialog_hash_idx IS 'The dialog module updates by hash.';

CREATE TABLE kamailio.dialog_vars (
    id            serial CONSTRAINT dialog_vars_pkey PRIMARY KEY,
    hash_entry    integer NOT NULL,
    hash_id       integer NOT NULL,
    dialog_key    varchar(128) NOT NULL,
    dialog_value  varchar(512) NOT NULL,
    server_id     integer NOT NULL DEFAULT kamailio.own_server()
);
COMMENT ON TABLE kamailio.dialog_vars IS 'Variables of confirmed dialogs.';
CREATE INDEX dialog_vars_hash_idx ON kamailio.dialog_vars (hash_entry, hash_id);
COMMENT ON INDEX kamailio.dialog_vars_hash_idx IS 'The dialog module updates by hash.';

-- Columns are varchar, not text: Kamailio's db_postgres takes text for a binary object and unescapes it.

CREATE VIEW kamailio.dispatcher AS
SELECT gateway_id AS id,
       1 AS setid,
       ('sip:' || host || ':' || port
           || CASE transport WHEN 'udp' THEN '' ELSE ';transport=' || transport END)::varchar AS destination,
       0 AS flags,
       0 AS priority,
       ('gw=' || gateway_id)::varchar AS attrs,
       name::varchar AS description
FROM public.gateway
WHERE enabled AND probe;
COMMENT ON VIEW kamailio.dispatcher IS 'Gateways that are probed by OPTIONS; calls are never dispatched by Kamailio''s own choice.';

CREATE VIEW kamailio.uacreg AS
SELECT trunk_id AS id,
       ('t' || trunk_id)::varchar AS l_uuid,
       t.username::varchar AS l_username,
       t.domain::varchar AS l_domain,
       t.username::varchar AS r_username,
       t.domain::varchar AS r_domain,
       t.auth_realm::varchar AS realm,
       t.auth_username::varchar AS auth_username,
       ''::varchar AS auth_password,
       t.auth_ha1::varchar AS auth_ha1,
       ('sip:' || g.host || ':' || g.port
           || CASE g.transport WHEN 'udp' THEN '' ELSE ';transport=' || g.transport END)::varchar AS auth_proxy,
       t.expires_seconds AS expires,
       CASE WHEN t.enabled AND g.enabled THEN 0 ELSE 1 END AS flags,
       0 AS reg_delay,
       ''::varchar AS contact_addr,
       ''::varchar AS socket
FROM public.trunk t JOIN public.gateway g USING (gateway_id);
COMMENT ON VIEW kamailio.uacreg IS 'Our registrations at carriers; flags 1 is disabled.';

CREATE VIEW kamailio.subscriber AS
SELECT a.account_id AS id,
       a.username::varchar AS username,
       d.name::varchar AS domain,
       ''::varchar AS password,
       a.ha1_md5::varchar AS ha1,
       ''::varchar AS ha1b
FROM public.account a
JOIN public.account_domain USING (tenant_id, account_id)
JOIN public.domain d USING (tenant_id, domain_id)
JOIN public.tenant t USING (tenant_id)
WHERE a.enabled AND t.enabled;
COMMENT ON VIEW kamailio.subscriber IS 'Accounts as Kamailio''s tools expect them; the proxy itself reads the directory file.';

CREATE VIEW kamailio.address AS
SELECT gateway_id AS id,
       gateway_id AS grp,
       host(network)::varchar AS ip_addr,
       masklen(network) AS mask,
       coalesce(source_port, 0) AS port,
       name::varchar AS tag
FROM public.gateway, unnest(source_networks) AS network
WHERE enabled;
COMMENT ON VIEW kamailio.address IS 'Addresses of gateways as Kamailio''s tools expect them; the proxy itself reads the directory file.';

-- ------------------------------------------------------------------------------- the role kamailio
-- A role belongs to the whole cluster: it may exist already (kalibri/pg_cluster.py gives it its password).

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kamailio') THEN
        CREATE ROLE kamailio LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = 'kamailio'::regrole AND setdatabase = 0
                   AND 'search_path=kamailio' = ANY (setconfig)) THEN
        ALTER ROLE kamailio SET search_path = kamailio;
    END IF;
END $$;

GRANT USAGE ON SCHEMA kamailio TO kamailio;
GRANT SELECT ON ALL TABLES IN SCHEMA kamailio TO kamailio;
GRANT INSERT, UPDATE, DELETE ON kamailio.location, kamailio.dialog, kamailio.dialog_vars TO kamailio;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA kamailio TO kamailio;

ALTER TABLE kamailio.dialog ENABLE ROW LEVEL SECURITY;
ALTER TABLE kamailio.dialog_vars ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON kamailio.dialog TO kamailio USING (server_id = kamailio.own_server());
CREATE POLICY own_rows ON kamailio.dialog_vars TO kamailio USING (server_id = kamailio.own_server());

-- -------------------------------------------------------------------------------- for tools that read acc's tables
-- Our proxy does not load Kamailio's acc module; these are our own call records in its shape. They stand behind the
-- grants on purpose: the proxy has no business in them, a tool's role is granted SELECT by whoever runs the tool.
-- Times are UTC; ids grow with the start of the call; tags are not kept.

CREATE VIEW kamailio.acc AS
SELECT (('x' || substr(hex, 1, 12))::bit(48)::bigint * 1048576
           + ('x' || substr(hex, 14, 3) || substr(hex, 31, 2))::bit(20)::bigint) * 2 + step AS id,
       method::varchar(16) AS method,
       ''::varchar(128) AS from_tag,
       ''::varchar(128) AS to_tag,
       sip_call_id::varchar(255) AS callid,
       '200'::varchar(3) AS sip_code,
       'OK'::varchar(128) AS sip_reason,
       at AT TIME ZONE 'UTC' AS time
FROM public.call,
     replace(call_id::text, '-', '') AS hex,
     LATERAL (VALUES (0, 'INVITE', answered_at), (1, 'BYE', ended_at)) AS transaction (step, method, at)
WHERE answered_at IS NOT NULL AND at IS NOT NULL;
COMMENT ON VIEW kamailio.acc IS 'Answered calls as Kamailio''s acc module tells them: one row for the answer, one for the end.';

CREATE VIEW kamailio.missed_calls AS
SELECT (('x' || substr(hex, 1, 12))::bit(48)::bigint * 1048576
           + ('x' || substr(hex, 14, 3) || substr(hex, 31, 2))::bit(20)::bigint) * 2 AS id,
       'INVITE'::varchar(16) AS method,
       ''::varchar(128) AS from_tag,
       ''::varchar(128) AS to_tag,
       sip_call_id::varchar(255) AS callid,
       coalesce(final_code::text, '')::varchar(3) AS sip_code,
       cause::varchar(128) AS sip_reason,
       ended_at AT TIME ZONE 'UTC' AS time
FROM public.call, replace(call_id::text, '-', '') AS hex
WHERE answered_at IS NULL AND ended_at IS NOT NULL;
COMMENT ON VIEW kamailio.missed_calls IS 'Calls that ended without an answer, as Kamailio''s acc module tells them; the reason is our word for the cause.';
