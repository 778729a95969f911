-- What a media host asks for a call in a scenario. Each is one transaction of its own.

-- name: bundle
-- The newest versions of a scenario and of all that it leads through, with allow-list and schedules.
SELECT ivr_bundle(%(tenant)s::integer, %(name)s::text)

-- name: facts
-- State of queues and regions of numbers.
SELECT ivr_facts(%(tenant)s::integer, %(queues)s::jsonb, %(numbers)s::jsonb)

-- name: row
-- A row of a table by its key.
SELECT ivr_lookup(%(tenant)s::integer, %(table)s::text, %(key)s::text)

-- name: callback
-- Have a number called back by a queue.
SELECT ivr_callback(%(tenant)s::integer, %(queue)s::text, %(number)s::text)

-- name: queue
-- Find a queue by its name.
SELECT queue_id FROM queue WHERE tenant_id = %(tenant)s::integer AND name = %(name)s::text
