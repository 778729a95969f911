-- Tokens of the API. Their secrets are never read, only compared.

-- name: list_tokens
-- Tokens of a tenant, or of all (tenant_id null), the newest first; token_id: only this one.
SELECT k.token_id, k.tenant_id, t.name AS tenant, k.name, k.scopes::text[] AS scopes, k.account, k.created_at, k.expires_at, k.revoked_at, k.last_used_at,
       k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.enabled AS usable
FROM api_token k JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR k.tenant_id = %(tenant_id)s)
  AND CASE WHEN %(token_id)s::integer IS NULL THEN k.ticket_of IS NULL ELSE k.token_id = %(token_id)s END
ORDER BY k.token_id DESC;

-- name: add_token
-- A new token; the secret's hash only.
INSERT INTO api_token (tenant_id, name, scopes, secret_hash, account, expires_at, ticket_of)
VALUES (%(tenant_id)s, %(name)s, %(scopes)s::text[]::api_scope[], %(secret_hash)s, %(account)s,
        now() + make_interval(secs => %(expires_seconds)s), %(ticket_of)s)
RETURNING token_id;

-- name: usable_token
-- The token of an id and a hash, if it may be used now; that of an account only as long as the account may call.
SELECT k.token_id, k.tenant_id, t.name AS tenant, k.name, k.scopes::text[] AS scopes, k.account, k.secret_hash, k.ticket_of,
       k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS unused_for_long
FROM api_token k JOIN tenant t USING (tenant_id)
WHERE k.token_id = %(token_id)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.enabled
  AND (k.account IS NULL OR EXISTS (SELECT FROM account a WHERE a.tenant_id = k.tenant_id AND a.username = k.account AND a.enabled))
  AND (k.ticket_of IS NULL OR EXISTS (SELECT FROM api_token p WHERE p.token_id = k.ticket_of AND p.revoked_at IS NULL
       AND (p.expires_at IS NULL OR p.expires_at > now())));

-- name: note_use
-- When a token was last used.
UPDATE api_token SET last_used_at = now() WHERE token_id = %(token_id)s;

-- name: revoke_token
-- Ends a token; one that is revoked already stays as it is.
UPDATE api_token SET revoked_at = now()
WHERE token_id = %(token_id)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s) AND revoked_at IS NULL;

-- name: forget_tokens
-- Removes tokens that ended long ago, and tickets that ended.
DELETE FROM api_token
WHERE ticket_of IS NOT NULL AND expires_at < now()
   OR coalesce(revoked_at, expires_at) < now() - make_interval(days => %(days)s) AND (revoked_at IS NOT NULL OR expires_at < now());

-- name: login_facts
-- What is needed to check the password of an account: by user name and tenant, or by one of the tenant's domains.
SELECT a.tenant_id, t.name AS tenant, a.username, t.realm, a.ha1_sha256
FROM account a JOIN tenant t USING (tenant_id)
WHERE a.username = %(username)s AND a.enabled AND t.enabled
  AND (t.name = %(place)s OR EXISTS (SELECT FROM domain d WHERE d.tenant_id = t.tenant_id AND d.name = lower(%(place)s)));
