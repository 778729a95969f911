-- Schedules: when a route applies.

-- name: list_schedules
-- Schedules with how many routes use each; a filter that is null lets everything through.
SELECT s.*, t.name AS tenant, coalesce(used.routes, 0) AS routes
FROM schedule s
JOIN tenant t USING (tenant_id)
LEFT JOIN (SELECT tenant_id, schedule_id, count(*) AS routes
           FROM route
           WHERE schedule_id IS NOT NULL
           GROUP BY tenant_id, schedule_id) AS used USING (tenant_id, schedule_id)
WHERE (%(tenant_id)s::integer IS NULL OR s.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY s.tenant_id <> 0, t.name, s.name;

-- name: lock_schedule
-- Nobody else changes this schedule until the transaction ends.
SELECT schedule_id FROM schedule WHERE tenant_id = %(tenant_id)s AND name = %(name)s FOR UPDATE;

-- name: routes_of_schedule
-- The first routes that use a schedule, to be named when it cannot be removed.
SELECT array_agg(route_id ORDER BY route_id)
FROM (SELECT route_id
      FROM route
      WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s
      ORDER BY route_id
      LIMIT 10) AS first_ones;

-- name: tenant_time_zone
-- The time zone of a tenant, for a schedule that is given none.
SELECT time_zone FROM tenant WHERE tenant_id = %(tenant_id)s;

-- name: add_schedule
-- A new schedule.
INSERT INTO schedule (tenant_id, name, time_zone, hours, holidays, on_holidays)
VALUES (%(tenant_id)s, %(name)s, %(time_zone)s, %(hours)s, %(holidays)s, %(on_holidays)s);

-- name: set_schedule
-- Everything about a schedule that can be changed.
UPDATE schedule
SET time_zone = %(time_zone)s, hours = %(hours)s, holidays = %(holidays)s, on_holidays = %(on_holidays)s
WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s;

-- name: remove_schedule
-- A schedule that no route uses any more.
DELETE FROM schedule WHERE tenant_id = %(tenant_id)s AND schedule_id = %(schedule_id)s;
