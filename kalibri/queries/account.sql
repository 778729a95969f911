-- SIP accounts.

-- name: list_accounts
-- Accounts of one tenant, or of all (tenant_id null), with their domains and how many phones are registered.
SELECT a.tenant_id, t.name AS tenant, a.account_id, a.username, a.display_name,
       ARRAY(SELECT d.name FROM account_domain m JOIN domain d USING (tenant_id, domain_id)
             WHERE (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id) ORDER BY d.name) AS domains,
       (SELECT count(*) FROM kamailio.location l
        JOIN domain d ON d.name = l.domain AND d.tenant_id = a.tenant_id
        WHERE l.username = a.username) AS contacts,
       a.caller_number, a.max_contacts, a.max_calls, a.media_relay, a.ring_timeout_seconds, a.record, a.enabled, a.created_at
FROM account a
JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR a.tenant_id = %(tenant_id)s)
  AND (%(username)s::text IS NULL OR a.username = %(username)s)
ORDER BY t.name, a.username;

-- name: account_records
-- Accounts of a tenant as they are exported; one of them if username is given.
SELECT a.username, a.display_name,
       ARRAY(SELECT d.name FROM account_domain m JOIN domain d USING (tenant_id, domain_id)
             WHERE (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id) ORDER BY d.name) AS domains,
       a.ha1_md5, a.ha1_sha256, a.caller_number, a.max_contacts, a.max_calls, a.media_relay,
       a.ring_timeout_seconds, a.record, a.enabled
FROM account a
WHERE a.tenant_id = %(tenant_id)s AND (%(username)s::text IS NULL OR a.username = %(username)s)
ORDER BY a.username;

-- name: realm
-- Digest realm of a tenant; it stays as it is until the transaction ends.
SELECT realm FROM tenant WHERE tenant_id = %(tenant_id)s FOR SHARE;

-- name: domain_names
-- Domains of a tenant.
SELECT name FROM domain WHERE tenant_id = %(tenant_id)s ORDER BY name;

-- name: add_account
-- A new account.
INSERT INTO account (tenant_id, username, display_name, ha1_md5, ha1_sha256, caller_number, max_contacts, max_calls,
                     media_relay, ring_timeout_seconds, record, enabled)
VALUES (%(tenant_id)s, %(username)s, %(display_name)s, %(ha1_md5)s, %(ha1_sha256)s, %(caller_number)s,
        %(max_contacts)s, %(max_calls)s, %(media_relay)s, %(ring_timeout_seconds)s, %(record)s, %(enabled)s);

-- name: set_account
-- Everything about an account that can be changed, its domains apart.
UPDATE account
SET display_name = %(display_name)s, ha1_md5 = %(ha1_md5)s, ha1_sha256 = %(ha1_sha256)s,
    caller_number = %(caller_number)s, max_contacts = %(max_contacts)s, max_calls = %(max_calls)s,
    media_relay = %(media_relay)s, ring_timeout_seconds = %(ring_timeout_seconds)s, record = %(record)s,
    enabled = %(enabled)s
WHERE tenant_id = %(tenant_id)s AND username = %(username)s;

-- name: leave_domains
-- Accounts may no longer register in domains that are not in their list {user name: [domains]}.
DELETE FROM account_domain m
USING account a, domain d
WHERE (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
  AND (m.tenant_id, m.domain_id) = (d.tenant_id, d.domain_id)
  AND m.tenant_id = %(tenant_id)s
  AND %(domains)s::jsonb ? a.username
  AND NOT (%(domains)s::jsonb -> a.username) ? d.name;

-- name: join_domains
-- Accounts may register in the domains of their list {user name: [domains]}.
INSERT INTO account_domain (tenant_id, account_id, domain_id)
SELECT a.tenant_id, a.account_id, d.domain_id
FROM jsonb_each(%(domains)s::jsonb) AS wanted (username, names)
JOIN account a ON a.tenant_id = %(tenant_id)s AND a.username = wanted.username
JOIN domain d ON d.tenant_id = a.tenant_id AND wanted.names ? d.name
ON CONFLICT DO NOTHING;

-- name: remove_account
-- An account and its rights to register.
DELETE FROM account WHERE tenant_id = %(tenant_id)s AND username = %(username)s;

-- name: make_staging
-- A table for imported accounts, with the same rules.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_account (LIKE account INCLUDING CONSTRAINTS) ON COMMIT DROP;

-- name: stage_account
-- One imported account.
INSERT INTO staged_account (tenant_id, account_id, username, display_name, ha1_md5, ha1_sha256, caller_number,
                            max_contacts, max_calls, media_relay, ring_timeout_seconds, record, enabled, created_at)
VALUES (%(tenant_id)s, 0, %(username)s, %(display_name)s, %(ha1_md5)s, %(ha1_sha256)s, %(caller_number)s,
        %(max_contacts)s, %(max_calls)s, %(media_relay)s, %(ring_timeout_seconds)s, %(record)s, %(enabled)s, now());

-- name: take_over_staged
-- Imported accounts become accounts, or change those of the same name; the staging table is empty afterwards.
WITH staged AS (DELETE FROM staged_account RETURNING *)
INSERT INTO account (tenant_id, username, display_name, ha1_md5, ha1_sha256, caller_number, max_contacts, max_calls,
                     media_relay, ring_timeout_seconds, record, enabled)
SELECT tenant_id, username, display_name, ha1_md5, ha1_sha256, caller_number, max_contacts, max_calls,
       media_relay, ring_timeout_seconds, record, enabled
FROM staged
ORDER BY username
ON CONFLICT ON CONSTRAINT account_username_key DO UPDATE
SET display_name = EXCLUDED.display_name, ha1_md5 = EXCLUDED.ha1_md5, ha1_sha256 = EXCLUDED.ha1_sha256,
    caller_number = EXCLUDED.caller_number, max_contacts = EXCLUDED.max_contacts, max_calls = EXCLUDED.max_calls,
    media_relay = EXCLUDED.media_relay, ring_timeout_seconds = EXCLUDED.ring_timeout_seconds, record = EXCLUDED.record,
    enabled = EXCLUDED.enabled;
