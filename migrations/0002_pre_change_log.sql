-- What makes the change log, the partitions of a day, and the first rows.

-- ------------------------------------------------------------------------------------------ functions

CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
-- One row a statement. The advisory lock makes seq follow commit order, so that a reader that has seen
-- seq N never misses a smaller one that commits later. An update that changes nothing but the columns in the
-- second argument (health, heartbeats, notes) is no change of configuration, and takes no lock either.
DECLARE
    key text := TG_ARGV[0];
    ignored text[] := coalesce(TG_ARGV[1], '{}');
    changed bigint[];
    total bigint;
BEGIN
    EXECUTE format(
        'SELECT count(*), %s FROM changed_rows n %s',
        CASE WHEN key = '' THEN 'NULL::bigint[]' ELSE format('(array_agg(n.%I::bigint))[1:1000]', key) END,
        CASE WHEN TG_OP = 'UPDATE' THEN
            'WHERE NOT EXISTS (SELECT FROM old_rows o WHERE to_jsonb(o) - $1 = to_jsonb(n) - $1)' END)
    INTO total, changed USING ignored;
    IF total = 0 THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('change_log'));
    INSERT INTO change_log (noun, operation, ids)
    VALUES (TG_TABLE_NAME, lower(TG_OP), CASE WHEN total <= 1000 THEN changed END);
    PERFORM pg_notify('kalibri_change', TG_TABLE_NAME);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION log_change() IS 'Statement trigger: records changed ids in change_log and notifies kalibri_change.';

CREATE FUNCTION ensure_day_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
-- Partitions of call and call_event for one UTC day. Idempotent and safe from several writers at once.
DECLARE
    parent text;
    part text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['call', 'call_event'] LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(part) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('day_partitions'));
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                           part, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION ensure_day_partitions(date) IS 'Creates the day partitions of call and call_event when they are missing.';

CREATE PROCEDURE log_changes_of(noun text, key text, ignored text[]) LANGUAGE plpgsql AS $$
-- A statement trigger with transition tables may name only one event, hence three a table.
BEGIN
    EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS changed_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION log_change(%L)',
                   noun || '_log_insert', noun, key);
    EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS changed_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION log_change(%L, %L)',
                   noun || '_log_update', noun, key, ignored);
    EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %I REFERENCING OLD TABLE AS changed_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION log_change(%L)',
                   noun || '_log_delete', noun, key);
END $$;
COMMENT ON PROCEDURE log_changes_of(text, text, text[]) IS
    'Logs the changes of a table: its name, the column with the id (empty: the log names no ids), columns whose change is not logged.';

-- ------------------------------------------------------------------------------------------- triggers

CALL log_changes_of('tenant', 'tenant_id', '{}');
CALL log_changes_of('domain', 'domain_id', '{}');
CALL log_changes_of('account', 'account_id', '{}');
CALL log_changes_of('account_domain', 'account_id', '{}');
CALL log_changes_of('gateway', 'gateway_id', '{health,health_reason,health_changed_at,note}');
CALL log_changes_of('gateway_rate', 'gateway_id', '{}');
CALL log_changes_of('gateway_group', 'group_id', '{note}');
CALL log_changes_of('gateway_group_member', 'group_id', '{}');
CALL log_changes_of('trunk', 'gateway_id', '{state,state_reason,state_changed_at}');
CALL log_changes_of('schedule', 'schedule_id', '{}');
CALL log_changes_of('caller_id', '', '{}');
CALL log_changes_of('route', 'route_id', '{note,changed_at}');
CALL log_changes_of('number_range_set', 'set_id', '{}');
CALL log_changes_of('number', 'number', '{note,changed_at}');
CALL log_changes_of('node', 'node_id', '{heartbeat_at,data}');

-- ------------------------------------------------------------------------------------ first rows

INSERT INTO tenant (tenant_id, name, realm) VALUES (0, 'system', 'system.invalid');
