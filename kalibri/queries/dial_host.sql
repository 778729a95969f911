-- What a media host asks of campaigns (docs/dialler.md). Each is one transaction of its own.

-- name: take
-- Orders for this host: from here on they are its own.
SELECT tenant_id, attempt_id, campaign_id, call_id, number, data FROM dial_take(%(host)s::text, %(boot)s::uuid, %(room)s::integer)

-- name: report
-- How dials go.
SELECT dial_report(%(host)s::text, %(boot)s::uuid, %(reports)s::jsonb)

-- name: beat
-- Every dial that this host holds.
SELECT dial_beat(%(host)s::text, %(boot)s::uuid, %(live)s::bigint[])
