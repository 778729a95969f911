-- Retry rules: named tables of what follows from an attempt.

-- name: list_rules
-- Rules in the order in which they are tried; a filter that is null lets everything through.
SELECT r.tenant_id, t.name AS tenant, r.table_name, r.position, r.outcome, r.code, r.cause, r.verdict, r.action,
       r.delay_seconds, r.max_attempts, r.charged, r.hours, r.growth::float8 AS growth, r.longest_seconds, r.first, r.note
FROM retry_rule r
JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR r.tenant_id = %(tenant_id)s)
  AND (%(table_name)s::text IS NULL OR r.table_name = %(table_name)s)
ORDER BY r.tenant_id, r.table_name, r.position;

-- name: rules_for
-- Rules of a table as a tenant's campaigns see it: the tenant's own, else the system's.
SELECT r.position, r.outcome, r.code, r.cause, r.verdict, r.action, r.delay_seconds, r.max_attempts, r.charged,
       r.hours, r.growth::float8 AS growth, r.longest_seconds, r.first
FROM retry_rule r
WHERE r.table_name = %(table_name)s
  AND r.tenant_id = (SELECT max(tenant_id) FROM retry_rule
                     WHERE table_name = %(table_name)s AND tenant_id IN (%(tenant_id)s, 0))
ORDER BY r.position;

-- name: set_rule
-- Adds a rule or changes the one at its position.
INSERT INTO retry_rule (tenant_id, table_name, position, outcome, code, cause, verdict, action, delay_seconds,
                        max_attempts, charged, hours, growth, longest_seconds, first, note)
VALUES (%(tenant_id)s, %(table_name)s, %(position)s, %(outcome)s, %(code)s, %(cause)s, %(verdict)s, %(action)s,
        %(delay_seconds)s, %(max_attempts)s, %(charged)s, %(hours)s, %(growth)s, %(longest_seconds)s, %(first)s, %(note)s)
ON CONFLICT (tenant_id, table_name, position) DO UPDATE
SET outcome = excluded.outcome, code = excluded.code, cause = excluded.cause, verdict = excluded.verdict,
    action = excluded.action, delay_seconds = excluded.delay_seconds, max_attempts = excluded.max_attempts,
    charged = excluded.charged, hours = excluded.hours, growth = excluded.growth,
    longest_seconds = excluded.longest_seconds, first = excluded.first, note = excluded.note;

-- name: remove_rule
-- Takes a rule out of a table; position null: the whole table.
DELETE FROM retry_rule
WHERE tenant_id = %(tenant_id)s AND table_name = %(table_name)s
  AND (%(position)s::integer IS NULL OR position = %(position)s);

-- name: copy_table
-- The rules of one table as another one of a tenant.
INSERT INTO retry_rule (tenant_id, table_name, position, outcome, code, cause, verdict, action, delay_seconds,
                        max_attempts, charged, hours, growth, longest_seconds, first, note)
SELECT %(tenant_id)s, %(to_name)s, position, outcome, code, cause, verdict, action, delay_seconds, max_attempts,
       charged, hours, growth, longest_seconds, first, note
FROM retry_rule
WHERE table_name = %(from_name)s
  AND tenant_id = (SELECT max(tenant_id) FROM retry_rule
                   WHERE table_name = %(from_name)s AND tenant_id IN (%(tenant_id)s, 0));

-- name: users
-- Campaigns that would be without rules if a tenant lost this table.
SELECT coalesce(array_agg(c.name ORDER BY c.name), '{}')
FROM campaign c
WHERE c.retry_table = %(table_name)s AND (c.tenant_id = %(tenant_id)s OR %(tenant_id)s = 0)
  AND NOT EXISTS (SELECT FROM retry_rule r WHERE r.table_name = c.retry_table AND r.tenant_id IN (c.tenant_id, 0));
