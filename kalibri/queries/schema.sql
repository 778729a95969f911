-- The state of the schema itself.

-- name: lock_schema
-- One program changes the schema at a time.
SELECT pg_advisory_xact_lock(hashtext('schema'));

-- name: count_relations
-- How many tables and views the database holds, and whether our list of migrations is among them.
SELECT count(*) AS relations, to_regclass('public.schema_migration') IS NOT NULL AS ours
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'm');

-- name: applied_migrations
-- Versions that this database has seen, in order.
SELECT version FROM schema_migration ORDER BY version;

-- name: record_migration
-- This database has seen a migration.
INSERT INTO schema_migration (version) VALUES (%(version)s);

-- name: catalogue
-- Every object of our schemas with its definition; day partitions and what belongs to them are left out.
WITH relation AS (
    SELECT c.oid, c.relkind, c.relname, c.relacl, c.oid::regclass::text AS name
    FROM pg_class c
    WHERE c.relnamespace::regnamespace::text IN ('public', 'kamailio') AND NOT c.relispartition
)
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
       name,
       coalesce(CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END, '') || coalesce(relacl::text, '') AS definition
FROM relation
WHERE relkind IN ('r', 'p', 'v', 'S')
UNION ALL
SELECT 'column',
       r.name || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                 'identity ' || nullif(a.attidentity::text, ''), 'default ' || pg_get_expr(d.adbin, d.adrelid))
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'constraint', r.name || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
UNION ALL
SELECT 'index', name, pg_get_indexdef(oid) FROM relation WHERE relkind IN ('i', 'I')
UNION ALL
SELECT 'trigger', r.name || '.' || t.tgname, pg_get_triggerdef(t.oid)
FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
FROM pg_proc p
WHERE p.pronamespace::regnamespace::text IN ('public', 'kamailio')
UNION ALL
SELECT 'enum', t.typname, string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder)
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace::regnamespace::text IN ('public', 'kamailio')
GROUP BY t.typname
ORDER BY 1, 2;
