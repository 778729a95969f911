-- What is known of a caller: from his earlier calls, the address book, and the tenant's own system.

-- name: find_lookup
-- Where a tenant's system is asked.
SELECT url, headers, timeout_ms, cache_seconds, enabled FROM caller_lookup WHERE tenant_id = %(tenant_id)s;

-- name: set_lookup
-- Where a tenant's system is asked from now on.
INSERT INTO caller_lookup (tenant_id, url, headers, timeout_ms, cache_seconds, enabled)
VALUES (%(tenant_id)s, %(url)s, %(headers)s::jsonb, %(timeout_ms)s, %(cache_seconds)s, %(enabled)s)
ON CONFLICT (tenant_id) DO UPDATE
SET url = excluded.url, headers = excluded.headers, timeout_ms = excluded.timeout_ms, cache_seconds = excluded.cache_seconds, enabled = excluded.enabled;

-- name: remove_lookup
-- Nobody is looked up any more.
DELETE FROM caller_lookup WHERE tenant_id = %(tenant_id)s;

-- name: cached
-- An answer that still holds.
SELECT data, error FROM caller_cache WHERE tenant_id = %(tenant_id)s AND key = %(key)s AND expires_at > clock_timestamp();

-- name: remember
-- An answer, or that there was none.
INSERT INTO caller_cache (tenant_id, key, data, error, expires_at)
VALUES (%(tenant_id)s, %(key)s, %(data)s::jsonb, %(error)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (tenant_id, key) DO UPDATE SET data = excluded.data, error = excluded.error, expires_at = excluded.expires_at;

-- name: forget_all
-- Answers of a system that is asked in another way now.
DELETE FROM caller_cache WHERE tenant_id = %(tenant_id)s;

-- name: forget_expired
-- Answers that hold no more.
DELETE FROM caller_cache WHERE expires_at < now();

-- name: history
-- Earlier calls of a number to queues, and who talked with it last.
SELECT caller_history(%(tenant_id)s, %(number)s, 9223372036854775807, %(most)s);

-- name: name_of_number
-- Name of a number in the address book of a tenant.
SELECT name FROM address_book_entry
WHERE tenant_id = %(tenant_id)s AND number IN (ltrim(%(number)s::text, '+'), '+' || ltrim(%(number)s::text, '+'))
ORDER BY name
LIMIT 1;
