-- Routes. What is to be saved goes through a staging table, one route as well as a hundred thousand.

-- name: unstage
-- Removes the staging table of an earlier use in the same transaction.
DROP TABLE IF EXISTS pg_temp.staged_route;

-- name: stage
-- Where routes wait until all of them are known to be good; names instead of ids.
CREATE TEMPORARY TABLE staged_route (
    line                integer NOT NULL,
    route_id            integer,
    folder              text NOT NULL,
    name                text NOT NULL,
    priority            numeric(12,4) NOT NULL,
    enabled             boolean NOT NULL,
    directions          route_direction[] NOT NULL,
    a_pattern           text,
    a_host_pattern      text,
    b_pattern           text,
    b_host_pattern      text,
    b_region            text,
    b_operator          text,
    schedule            text,
    a_mask_pattern      text,
    a_mask_replacement  text,
    b_mask_pattern      text,
    b_mask_replacement  text,
    destination_kind    destination_kind NOT NULL,
    destination         text NOT NULL,
    options             jsonb NOT NULL,
    note                text NOT NULL,
    pattern_classes     pattern_class[] NOT NULL,
    caller_id_set       text,
    prefer_gateway      text
) ON COMMIT DROP;

-- name: copy
-- Streams checked routes into the staging table.
COPY staged_route FROM STDIN;

-- name: analyze_staged
-- The planner must know whether one route or a million is staged.
ANALYZE staged_route;

-- name: staged_problems
-- What the database knows to be wrong with staged routes: ids of others, names that do not exist.
SELECT line, 'the route id ' || route_id || ' belongs to another tenant' AS message
FROM staged_route JOIN route USING (route_id)
WHERE tenant_id <> %(tenant_id)s
UNION ALL
SELECT line, 'the route id ' || route_id || ' stands in line ' || first_line || ' already'
FROM (SELECT line, route_id, min(line) OVER (PARTITION BY route_id) AS first_line
      FROM staged_route WHERE route_id IS NOT NULL) AS numbered
WHERE line > first_line
UNION ALL
SELECT line, 'the tenant has no schedule "' || schedule || '"'
FROM staged_route
WHERE schedule IS NOT NULL
  AND NOT EXISTS (SELECT FROM schedule AS own WHERE tenant_id = %(tenant_id)s AND own.name = staged_route.schedule)
UNION ALL
SELECT line, 'option prefer_gateway: neither the tenant nor the system has a gateway "' || prefer_gateway || '"'
FROM staged_route
WHERE prefer_gateway IS NOT NULL
  AND NOT EXISTS (SELECT FROM gateway WHERE tenant_id IN (%(tenant_id)s, 0) AND gateway.name = prefer_gateway)
UNION ALL
SELECT line, 'option caller_id_set: neither the tenant nor the system has a caller-ID set "' || caller_id_set || '"'
FROM staged_route
WHERE caller_id_set IS NOT NULL
  AND NOT EXISTS (SELECT FROM caller_id WHERE tenant_id IN (%(tenant_id)s, 0) AND set_name = caller_id_set)
ORDER BY line;

-- name: staged_destinations
-- Where staged routes lead by name, each name once, with the lines that have it.
SELECT destination_kind::text AS kind, destination, array_agg(line ORDER BY line) AS lines
FROM staged_route
WHERE destination_kind IN ('gateway', 'group', 'account') AND destination <> ''
  AND NOT (destination_kind = 'account' AND %(tenant_id)s = 0)  -- a system route means the account of whoever calls
GROUP BY destination_kind, destination;

-- name: add_staged_folders
-- Folders that staged routes lie in and that do not exist yet.
INSERT INTO route_folder (tenant_id, path)
SELECT DISTINCT %(tenant_id)s, folder FROM staged_route WHERE folder <> ''
ON CONFLICT DO NOTHING;

-- name: pass_staged_ids
-- New routes never get an id that the staged ones bring along.
SELECT setval('route_route_id_seq', highest)
FROM (SELECT max(route_id) AS highest FROM staged_route) AS staged
WHERE highest >= (SELECT last_value FROM route_route_id_seq);

-- name: update_from_staged
-- Routes that exist and differ from what is staged.
UPDATE route
SET folder_id = staged.folder_id, name = staged.name, priority = staged.priority, enabled = staged.enabled,
    directions = staged.directions,
    a_pattern = staged.a_pattern, a_host_pattern = staged.a_host_pattern,
    b_pattern = staged.b_pattern, b_host_pattern = staged.b_host_pattern,
    pattern_classes = staged.pattern_classes,
    b_region = staged.b_region, b_operator = staged.b_operator, schedule_id = staged.schedule_id,
    a_mask_pattern = staged.a_mask_pattern, a_mask_replacement = staged.a_mask_replacement,
    b_mask_pattern = staged.b_mask_pattern, b_mask_replacement = staged.b_mask_replacement,
    destination_kind = staged.destination_kind, destination = staged.destination,
    options = staged.options, note = staged.note, changed_at = now()
FROM (
    SELECT staged_route.*, route_folder.folder_id, own_schedule.schedule_id
    FROM staged_route
    LEFT JOIN route_folder ON route_folder.tenant_id = %(tenant_id)s AND route_folder.path = staged_route.folder
    LEFT JOIN schedule AS own_schedule
           ON own_schedule.tenant_id = %(tenant_id)s AND own_schedule.name = staged_route.schedule
) AS staged
WHERE route.tenant_id = %(tenant_id)s AND route.route_id = staged.route_id
  AND (route.folder_id, route.name, route.priority, route.enabled, route.directions,
       route.a_pattern, route.a_host_pattern, route.b_pattern, route.b_host_pattern, route.pattern_classes,
       route.b_region, route.b_operator, route.schedule_id,
       route.a_mask_pattern, route.a_mask_replacement, route.b_mask_pattern, route.b_mask_replacement,
       route.destination_kind, route.destination, route.options, route.note)
      IS DISTINCT FROM
      (staged.folder_id, staged.name, staged.priority, staged.enabled, staged.directions,
       staged.a_pattern, staged.a_host_pattern, staged.b_pattern, staged.b_host_pattern, staged.pattern_classes,
       staged.b_region, staged.b_operator, staged.schedule_id,
       staged.a_mask_pattern, staged.a_mask_replacement, staged.b_mask_pattern, staged.b_mask_replacement,
       staged.destination_kind, staged.destination, staged.options, staged.note);

-- name: insert_from_staged
-- Staged routes that do not exist yet, with their own id or the next one.
INSERT INTO route (tenant_id, route_id, folder_id, name, priority, enabled, directions,
                   a_pattern, a_host_pattern, b_pattern, b_host_pattern, pattern_classes,
                   b_region, b_operator, schedule_id,
                   a_mask_pattern, a_mask_replacement, b_mask_pattern, b_mask_replacement,
                   destination_kind, destination, options, note)
SELECT %(tenant_id)s, coalesce(staged.route_id, nextval('route_route_id_seq')), folder.folder_id,
       staged.name, staged.priority, staged.enabled, staged.directions,
       staged.a_pattern, staged.a_host_pattern, staged.b_pattern, staged.b_host_pattern, staged.pattern_classes,
       staged.b_region, staged.b_operator, own_schedule.schedule_id,
       staged.a_mask_pattern, staged.a_mask_replacement, staged.b_mask_pattern, staged.b_mask_replacement,
       staged.destination_kind, staged.destination, staged.options, staged.note
FROM (SELECT * FROM staged_route ORDER BY line) AS staged
LEFT JOIN route_folder AS folder ON folder.tenant_id = %(tenant_id)s AND folder.path = staged.folder
LEFT JOIN schedule AS own_schedule
       ON own_schedule.tenant_id = %(tenant_id)s AND own_schedule.name = staged.schedule
WHERE NOT EXISTS (SELECT FROM route WHERE route.route_id = staged.route_id);

-- name: remove_unstaged
-- Routes of the tenant that are not staged (an import that replaces). Before new ones are inserted.
DELETE FROM route
WHERE tenant_id = %(tenant_id)s
  AND NOT EXISTS (SELECT FROM staged_route WHERE staged_route.route_id = route.route_id);

-- name: last_id
-- The id that a new route got last in this session.
SELECT currval('route_route_id_seq');

-- name: list
-- Routes of a tenant (null: of all) in matching order; folder: and below; text: in name, patterns, destination.
SELECT tenant.name AS tenant, route.tenant_id, route_id, route.folder_id, coalesce(route_folder.path, '') AS folder,
       route.name, priority, route.enabled, directions::text[] AS directions,
       a_pattern, a_host_pattern, b_pattern, b_host_pattern, pattern_classes::text[] AS pattern_classes,
       b_region, b_operator, route.schedule_id, schedule.name AS schedule,
       a_mask_pattern, a_mask_replacement, b_mask_pattern, b_mask_replacement,
       destination_kind::text AS destination_kind, destination, options, note, changed_at
FROM route
JOIN tenant USING (tenant_id)
LEFT JOIN route_folder ON route_folder.tenant_id = route.tenant_id AND route_folder.folder_id = route.folder_id
LEFT JOIN schedule ON schedule.tenant_id = route.tenant_id AND schedule.schedule_id = route.schedule_id
WHERE (%(tenant_id)s::integer IS NULL OR route.tenant_id = %(tenant_id)s)
  AND (%(route_id)s::integer IS NULL OR route_id = %(route_id)s)
  AND (%(folder)s::text IS NULL OR route_folder.path = %(folder)s OR starts_with(route_folder.path, %(folder)s || '/'))
  AND (%(enabled)s::boolean IS NULL OR route.enabled = %(enabled)s)
  AND (%(text)s::text IS NULL OR position(lower(%(text)s) IN lower(concat_ws(
        chr(10), route.name, a_pattern, a_host_pattern, b_pattern, b_host_pattern, destination, b_region, b_operator))) > 0)
ORDER BY priority, route_id
LIMIT %(limit)s;

-- name: neighbour_before
-- The route of the tenant that comes directly before a place in the order, other than the one to be moved.
SELECT priority, route_id FROM route
WHERE tenant_id = %(tenant_id)s AND route_id <> %(moved)s AND (priority, route_id) < (%(priority)s, %(route_id)s)
ORDER BY priority DESC, route_id DESC
LIMIT 1;

-- name: neighbour_after
-- The route of the tenant that comes directly after a place in the order, other than the one to be moved.
SELECT priority, route_id FROM route
WHERE tenant_id = %(tenant_id)s AND route_id <> %(moved)s AND (priority, route_id) > (%(priority)s, %(route_id)s)
ORDER BY priority, route_id
LIMIT 1;

-- name: lock
-- Nobody else changes these routes until the transaction ends; returns those that exist.
SELECT route_id FROM route WHERE tenant_id = %(tenant_id)s AND route_id = ANY(%(route_ids)s) ORDER BY route_id FOR UPDATE;

-- name: set_enabled
-- Puts routes into or out of use; only those that are not so already.
UPDATE route SET enabled = %(enabled)s, changed_at = now()
WHERE tenant_id = %(tenant_id)s AND route_id = ANY(%(route_ids)s) AND enabled <> %(enabled)s;

-- name: set_priority
-- Another place in the order.
UPDATE route SET priority = %(priority)s, changed_at = now()
WHERE tenant_id = %(tenant_id)s AND route_id = %(route_id)s AND priority <> %(priority)s;

-- name: set_folder
-- Another folder; null: none.
UPDATE route SET folder_id = %(folder_id)s, changed_at = now()
WHERE tenant_id = %(tenant_id)s AND route_id = ANY(%(route_ids)s) AND folder_id IS DISTINCT FROM %(folder_id)s;

-- name: remove
-- Removes routes.
DELETE FROM route WHERE tenant_id = %(tenant_id)s AND route_id = ANY(%(route_ids)s);

-- name: last_change
-- The newest change; when the index serves it, everything that is saved now is live.
SELECT coalesce(max(seq), 0) FROM change_log;

-- name: account_exists
-- Whether a tenant has an account of this name that is in use.
SELECT EXISTS (SELECT FROM account WHERE tenant_id = %(tenant_id)s AND username = %(username)s AND enabled);
