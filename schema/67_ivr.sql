-- IVR: scenarios in versions, the tables that they look things up in, the web servers that they may ask (docs/ivr.md).

CREATE TABLE ivr_scenario (
    tenant_id   integer NOT NULL CONSTRAINT ivr_scenario_tenant_fkey REFERENCES tenant,
    name        text NOT NULL CONSTRAINT ivr_scenario_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    version     integer NOT NULL CONSTRAINT ivr_scenario_version_check CHECK (version > 0),
    source      text NOT NULL CONSTRAINT ivr_scenario_source_check CHECK (length(source) <= 262144),
    uses        text[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by  text NOT NULL DEFAULT '',
    CONSTRAINT ivr_scenario_pkey PRIMARY KEY (tenant_id, name, version)
);
COMMENT ON TABLE ivr_scenario IS 'Scenarios, each version; the newest one of a name is what the next caller gets.';
COMMENT ON COLUMN ivr_scenario.source IS 'YAML as it was written; checked before it came here (callcore/ivr_check.py).';
COMMENT ON COLUMN ivr_scenario.uses IS 'Scenarios that it leads through: a call takes them all along when it begins.';

CREATE TABLE ivr_host (
    tenant_id  integer NOT NULL CONSTRAINT ivr_host_tenant_fkey REFERENCES tenant,
    host       text NOT NULL CONSTRAINT ivr_host_host_check CHECK (host ~ '^(\*\.)?[a-z0-9:]([a-z0-9:._-]{0,251}[a-z0-9])?$'),
    port       integer NOT NULL DEFAULT 0 CONSTRAINT ivr_host_port_check CHECK (port BETWEEN 0 AND 65535),
    private    boolean NOT NULL DEFAULT false,
    CONSTRAINT ivr_host_pkey PRIMARY KEY (tenant_id, host, port)
);
COMMENT ON TABLE ivr_host IS 'Web servers that a tenant''s scenarios may ask; no other one is.';
COMMENT ON COLUMN ivr_host.host IS 'Name in lower case, *.example.org for all names below, or an address.';
COMMENT ON COLUMN ivr_host.port IS '0: 80 and 443.';
COMMENT ON COLUMN ivr_host.private IS 'It may have an address of a private network; else such an address is refused.';

CREATE TABLE ivr_table (
    tenant_id    integer NOT NULL CONSTRAINT ivr_table_tenant_fkey REFERENCES tenant,
    name         text NOT NULL CONSTRAINT ivr_table_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    columns      text[] NOT NULL CONSTRAINT ivr_table_columns_check CHECK (cardinality(columns) BETWEEN 2 AND 50),
    imported_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    imported_by  text NOT NULL DEFAULT '',
    CONSTRAINT ivr_table_pkey PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE ivr_table IS 'Tables that scenarios look things up in, imported from CSV.';
COMMENT ON COLUMN ivr_table.columns IS 'Heading of the file; the first column is the key.';

CREATE TABLE ivr_row (
    tenant_id   integer NOT NULL,
    table_name  text NOT NULL,
    key         text NOT NULL CONSTRAINT ivr_row_key_check CHECK (length(key) BETWEEN 1 AND 200),
    cells       text[] NOT NULL,
    CONSTRAINT ivr_row_pkey PRIMARY KEY (tenant_id, table_name, key),
    CONSTRAINT ivr_row_table_fkey FOREIGN KEY (tenant_id, table_name) REFERENCES ivr_table ON DELETE CASCADE
);
COMMENT ON TABLE ivr_row IS 'Rows of these tables; cells in the order of the columns.';

-- ---------------------------------------------------------------------------------------- what a media host asks

CREATE FUNCTION ivr_bundle(p_tenant integer, p_name text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        SELECT DISTINCT ON (name) name, version, source, uses FROM ivr_scenario WHERE tenant_id = p_tenant ORDER BY name, version DESC
    ), needed AS (
        SELECT name FROM newest WHERE name = p_name
        UNION
        SELECT u.name FROM needed JOIN newest n USING (name) CROSS JOIN LATERAL unnest(n.uses) AS u(name)
    )
    SELECT jsonb_build_object(
        'time_zone', (SELECT time_zone FROM tenant WHERE tenant_id = p_tenant),
        'scenarios', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'version', version, 'source', source)), '[]')
                      FROM newest JOIN needed USING (name)),
        'hosts', (SELECT coalesce(jsonb_agg(jsonb_build_object('host', host, 'port', port, 'private', private)), '[]')
                  FROM ivr_host WHERE tenant_id = p_tenant),
        'schedules', (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.tenant_id), '[]') FROM schedule s WHERE s.tenant_id IN (0, p_tenant)));
$$;
COMMENT ON FUNCTION ivr_bundle(integer, text) IS 'What a call needs from its beginning to its end: newest versions of the scenario and all that it leads through, allow-list, schedules.';

CREATE FUNCTION ivr_queue_state(p_tenant integer, p_queue text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'queue_id', q.queue_id, 'is_open', l.is_open AND q.enabled, 'waiting', e.waiting, 'free_agents', a.free, 'logged_in_agents', a.logged_in,
        'wait_seconds', CASE WHEN a.working > 0 THEN greatest(0, (e.waiting + 1) * coalesce(l.handle_seconds, 180) / a.working) END)
    FROM queue q
    JOIN queue_live l USING (tenant_id, queue_id)
    CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM queue_entry
                        WHERE queue_id = q.queue_id AND tenant_id = q.tenant_id AND state IN ('waiting', 'arriving') AND kind = 'call') e
    CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE v.state = 'free') AS free, count(*) FILTER (WHERE v.state <> 'offline') AS logged_in,
                               count(*) FILTER (WHERE v.state NOT IN ('offline', 'paused')) AS working
                        FROM queue_member m JOIN agent_live v USING (tenant_id, agent_id)
                        WHERE m.queue_id = q.queue_id AND m.tenant_id = q.tenant_id) a
    WHERE q.tenant_id = p_tenant AND q.name = p_queue;
$$;
COMMENT ON FUNCTION ivr_queue_state(integer, text) IS 'A queue as a branch sees it; null: there is none. Waits are expected as queue_live.sql expects them.';

CREATE FUNCTION ivr_region(p_number text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN nearest.last >= p_number::bigint THEN region END
    FROM (SELECT last, region FROM number_range JOIN number_range_set USING (set_id)
          WHERE current AND first <= p_number::bigint ORDER BY first DESC LIMIT 1) AS nearest
    WHERE p_number ~ '^[0-9]{3,15}$';
$$;
COMMENT ON FUNCTION ivr_region(text) IS 'Region of an E.164 number; null: not known.';

CREATE FUNCTION ivr_facts(p_tenant integer, p_queues jsonb, p_numbers jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'queues', (SELECT coalesce(jsonb_object_agg(name, ivr_queue_state(p_tenant, name)), '{}') FROM jsonb_array_elements_text(p_queues) AS q(name)),
        'regions', (SELECT coalesce(jsonb_object_agg(number, ivr_region(number)), '{}') FROM jsonb_array_elements_text(p_numbers) AS n(number)));
$$;
COMMENT ON FUNCTION ivr_facts(integer, jsonb, jsonb) IS 'State of queues and regions of numbers, as a branch asks for them.';

CREATE FUNCTION ivr_lookup(p_tenant integer, p_table text, p_key text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT (SELECT jsonb_object_agg(c.name, coalesce(r.cells[c.place], '')) FROM unnest(t.columns) WITH ORDINALITY AS c(name, place))
    FROM ivr_table t JOIN ivr_row r ON r.tenant_id = t.tenant_id AND r.table_name = t.name
    WHERE t.tenant_id = p_tenant AND t.name = p_table AND r.key = p_key;
$$;
COMMENT ON FUNCTION ivr_lookup(integer, text, text) IS 'A row of a table by its key, as column to cell; null: there is none.';

CREATE FUNCTION ivr_callback(p_tenant integer, p_queue text, p_number text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_queue integer := (SELECT queue_id FROM queue WHERE tenant_id = p_tenant AND name = p_queue AND enabled AND callback_enabled);
BEGIN
    RETURN CASE WHEN v_queue IS NOT NULL THEN acd_callback_add(p_tenant, v_queue, p_number, '{}', 'ivr') END;
END $$;
COMMENT ON FUNCTION ivr_callback(integer, text, text) IS 'Has a number called back by a queue; its entry, or null: the queue takes no callbacks.';

-- ---------------------------------------------------------------------------------- who sees and who changed

CALL audit_changes_of('ivr_scenario', '{source}', '{}', '');
CALL audit_changes_of('ivr_host', '{}', '{}', '');
CALL audit_changes_of('ivr_table', '{}', '{}', '');
CALL audit_changes_of('ivr_row', '{}', '{}', '');
CALL protect_tenant_rows('ivr_scenario');
CALL protect_tenant_rows('ivr_host');
CALL protect_tenant_rows('ivr_table');
CALL protect_tenant_rows('ivr_row');
