-- What proxies tell each other of lines that are watched.

-- name: wanted
-- Lines that other proxies watch, and what this one has told of them; also what it has told of lines nobody watches now.
SELECT tenant_id, username, watched.tenant_id IS NOT NULL AS watched, told.registered, told.calls
FROM (SELECT DISTINCT tenant_id, username FROM line_watch WHERE proxy <> %(proxy)s AND until > clock_timestamp()) AS watched
FULL JOIN (SELECT tenant_id, username, registered, calls FROM line_state WHERE proxy = %(proxy)s) AS told
    USING (tenant_id, username);

-- name: tell
-- What this proxy has of some lines.
INSERT INTO line_state (tenant_id, username, proxy, registered, calls)
SELECT line.tenant_id, line.username, %(proxy)s, line.registered, line.calls
FROM jsonb_to_recordset(%(lines)s::jsonb) AS line (tenant_id integer, username text, registered boolean, calls jsonb)
JOIN tenant USING (tenant_id)
ON CONFLICT ON CONSTRAINT line_state_pkey DO UPDATE SET registered = EXCLUDED.registered, calls = EXCLUDED.calls;

-- name: forget
-- This proxy has nothing of some lines any more, or nobody asks.
DELETE FROM line_state AS told
USING unnest(%(tenant_ids)s::integer[], %(usernames)s::text[]) AS gone (tenant_id, username)
WHERE told.proxy = %(proxy)s AND told.tenant_id = gone.tenant_id AND told.username = gone.username;

-- name: watch
-- Lines that are watched at this proxy; written again when half of the time is over.
INSERT INTO line_watch AS known (tenant_id, username, proxy, until)
SELECT line.tenant_id, line.username, %(proxy)s, clock_timestamp() + make_interval(secs => %(seconds)s)
FROM unnest(%(tenant_ids)s::integer[], %(usernames)s::text[]) AS line (tenant_id, username)
JOIN tenant USING (tenant_id)
ON CONFLICT ON CONSTRAINT line_watch_pkey DO UPDATE SET until = EXCLUDED.until
WHERE known.until < clock_timestamp() + make_interval(secs => %(seconds)s / 2.0);

-- name: unwatch
-- Nobody watches the other lines any more at this proxy.
DELETE FROM line_watch AS known
WHERE known.proxy = %(proxy)s
  AND NOT EXISTS (
      SELECT FROM unnest(%(tenant_ids)s::integer[], %(usernames)s::text[]) AS line (tenant_id, username)
      WHERE line.tenant_id = known.tenant_id AND line.username = known.username
  );

-- name: tidy
-- What was left by proxies that are gone for good.
WITH forgotten AS (DELETE FROM line_watch WHERE until < clock_timestamp())
DELETE FROM line_state WHERE NOT EXISTS (SELECT FROM node WHERE node.name = line_state.proxy);

-- name: elsewhere
-- What the other proxies that live have of some lines.
SELECT state.tenant_id, state.username, state.registered, state.calls
FROM line_state AS state
JOIN unnest(%(tenant_ids)s::integer[], %(usernames)s::text[]) AS line (tenant_id, username) USING (tenant_id, username)
JOIN node ON node.name = state.proxy AND node.heartbeat_at > clock_timestamp() - interval '8 s'
WHERE state.proxy <> %(proxy)s;

-- name: dialogs
-- Answered calls that a proxy has stored, by the sockets that it has; with their variables.
SELECT dialog.hash_entry, dialog.hash_id, dialog.callid, dialog.from_tag,
       jsonb_object_agg(variable.dialog_key, variable.dialog_value) AS variables
FROM kamailio.dialog AS dialog
JOIN kamailio.dialog_vars AS variable USING (hash_entry, hash_id)
WHERE dialog.state IN (3, 4) AND (dialog.caller_sock = ANY (%(sockets)s) OR dialog.callee_sock = ANY (%(sockets)s))
GROUP BY dialog.id, dialog.hash_entry, dialog.hash_id, dialog.callid, dialog.from_tag;
