-- Webhooks and their deliveries.

-- name: list_webhooks
-- Webhooks of a tenant, or of all (tenant_id null), with how much waits and how much was given up.
SELECT w.tenant_id, t.name AS tenant, w.webhook_id, w.url, w.kinds, w.enabled, w.note, w.created_at, w.sent_at, w.failed_at,
       w.last_error,
       (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.webhook_id AND d.tenant_id = w.tenant_id AND d.state = 'pending') AS pending,
       (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.webhook_id AND d.tenant_id = w.tenant_id AND d.state = 'dead') AS dead
FROM webhook w JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR w.tenant_id = %(tenant_id)s)
  AND (%(webhook_id)s::integer IS NULL OR w.webhook_id = %(webhook_id)s)
ORDER BY w.webhook_id;

-- name: add_webhook
-- A new webhook; it begins with the next event.
INSERT INTO webhook (tenant_id, url, kinds, secret, note, cursor_seq)
SELECT %(tenant_id)s, %(url)s, %(kinds)s, %(secret)s, %(note)s,
       greatest((SELECT coalesce(max(seq), 0) FROM event_log), (SELECT seq FROM event_horizon))
RETURNING webhook_id;

-- name: lock_webhook
-- What can be changed of a webhook; nobody else changes it until the transaction ends.
SELECT url, kinds, enabled, note FROM webhook WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s FOR UPDATE;

-- name: set_webhook
-- Changes a webhook; what happened while it was out of use is not told later.
UPDATE webhook
SET url = %(url)s, kinds = %(kinds)s, note = %(note)s,
    cursor_seq = CASE WHEN %(enabled)s AND NOT enabled
                      THEN greatest((SELECT coalesce(max(seq), 0) FROM event_log), cursor_seq) ELSE cursor_seq END,
    enabled = %(enabled)s
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s;

-- name: set_secret
-- Another key for the signature.
UPDATE webhook SET secret = %(secret)s WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s;

-- name: remove_webhook
-- Removes a webhook with what waits for it.
DELETE FROM webhook WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s;

-- name: list_deliveries
-- Events that were not delivered, the oldest first.
SELECT d.tenant_id, d.delivery_id, d.webhook_id, w.url, d.event_seq, d.state, d.attempts, d.created_at, d.due_at, d.last_error, d.body
FROM webhook_delivery d JOIN webhook w USING (tenant_id, webhook_id)
WHERE (%(tenant_id)s::integer IS NULL OR d.tenant_id = %(tenant_id)s)
  AND (%(webhook_id)s::integer IS NULL OR d.webhook_id = %(webhook_id)s)
  AND d.state = %(state)s
ORDER BY d.delivery_id
LIMIT %(limit)s;

-- name: retry_deliveries
-- Tries given-up deliveries again.
UPDATE webhook_delivery SET state = 'pending', attempts = 0, due_at = now()
WHERE (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s) AND delivery_id = ANY (%(delivery_ids)s) AND state = 'dead';

-- name: drop_deliveries
-- Forgets given-up deliveries.
DELETE FROM webhook_delivery
WHERE (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s) AND delivery_id = ANY (%(delivery_ids)s) AND state = 'dead';

-- name: add_test
-- An event for one webhook alone.
INSERT INTO webhook_delivery (tenant_id, webhook_id, event_seq, body)
VALUES (%(tenant_id)s, %(webhook_id)s, -(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(body)s);

-- name: make_deliveries
-- Makes deliveries of events that came since, for every webhook that nobody else serves just now.
WITH hooks AS MATERIALIZED (
    SELECT w.tenant_id, w.webhook_id, w.kinds, w.cursor_seq, least(h.head, w.cursor_seq + %(most)s) AS upto
    FROM webhook w, (SELECT coalesce(max(seq), 0) AS head FROM event_log) h
    WHERE w.enabled AND w.cursor_seq < h.head
    FOR UPDATE OF w SKIP LOCKED
), made AS (
    INSERT INTO webhook_delivery (tenant_id, webhook_id, event_seq, body)
    SELECT k.tenant_id, k.webhook_id, e.seq,
           json_strip_nulls(json_build_object(
               'id', e.seq, 'at', e.at, 'kind', e.kind, 'tenant_id', e.tenant_id, 'call_id', e.call_id,
               'queue_id', e.queue_id, 'agent_id', e.agent_id, 'account', e.account, 'data', e.data))::text
    FROM hooks k JOIN event_log e ON e.seq > k.cursor_seq AND e.seq <= k.upto
    WHERE (k.tenant_id = 0 OR e.tenant_id = k.tenant_id)
      AND (cardinality(k.kinds) = 0 OR EXISTS (
           SELECT FROM unnest(k.kinds) AS wanted
           WHERE e.kind = wanted OR right(wanted, 1) = '*' AND starts_with(e.kind, left(wanted, -1))))
    ON CONFLICT (webhook_id, event_seq) DO NOTHING
)
UPDATE webhook w SET cursor_seq = k.upto FROM hooks k WHERE (w.tenant_id, w.webhook_id) = (k.tenant_id, k.webhook_id);

-- name: claim_deliveries
-- Takes deliveries that are due, at most some of each webhook; they come again if the claim is not settled in time.
WITH due AS (
    SELECT d.tenant_id, d.delivery_id, row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.due_at, d.delivery_id) AS place
    FROM webhook_delivery d JOIN webhook w USING (tenant_id, webhook_id)
    WHERE d.state = 'pending' AND d.due_at <= now() AND w.enabled AND NOT d.webhook_id = ANY (%(busy)s)
), chosen AS (
    SELECT d.tenant_id, d.delivery_id FROM webhook_delivery d JOIN due USING (tenant_id, delivery_id)
    WHERE due.place <= %(each)s AND d.state = 'pending' AND d.due_at <= now()
    ORDER BY d.due_at
    LIMIT %(limit)s
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE webhook_delivery d
SET attempts = d.attempts + 1, due_at = now() + make_interval(secs => %(lease_seconds)s)
FROM chosen c, webhook w
WHERE (d.tenant_id, d.delivery_id) = (c.tenant_id, c.delivery_id) AND (w.tenant_id, w.webhook_id) = (d.tenant_id, d.webhook_id)
RETURNING d.tenant_id, d.delivery_id, d.webhook_id, d.event_seq, d.body, d.attempts, w.url, w.secret;

-- name: delivered
-- An event was taken: nothing more is kept of it.
WITH gone AS (DELETE FROM webhook_delivery WHERE tenant_id = %(tenant_id)s AND delivery_id = %(delivery_id)s)
UPDATE webhook SET sent_at = now() WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s;

-- name: not_delivered
-- An event was not taken: again later, or given up.
WITH noted AS (
    UPDATE webhook_delivery
    SET due_at = now() + make_interval(secs => %(delay_seconds)s), last_error = %(error)s,
        state = CASE WHEN %(give_up)s THEN 'dead'::delivery_state ELSE 'pending' END
    WHERE tenant_id = %(tenant_id)s AND delivery_id = %(delivery_id)s)
UPDATE webhook SET failed_at = now(), last_error = %(error)s WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s;

-- name: forget_dead
-- Removes what was given up long ago.
DELETE FROM webhook_delivery WHERE state = 'dead' AND created_at < now() - make_interval(days => %(days)s);
