-- Nodes: proxies, RTP nodes, controllers and media hosts.

-- name: list_nodes
-- Nodes with the age of their last heartbeat; a filter that is null lets everything through.
SELECT node_id, name, kind::text, host, address, enabled, heartbeat_at,
       extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS heartbeat_age_seconds, data,
       weight, capacity, draining
FROM node
WHERE (%(kind)s::node_kind IS NULL OR kind = %(kind)s)
  AND (%(name)s::text IS NULL OR name = %(name)s)
ORDER BY kind, host, name;

-- name: lock_node
-- Nobody else changes this node until the transaction ends.
SELECT node_id FROM node WHERE name = %(name)s FOR UPDATE;

-- name: add_node
-- A new node.
INSERT INTO node (name, kind, host, address, weight, capacity)
VALUES (%(name)s, %(kind)s, %(host)s, %(address)s, %(weight)s, %(capacity)s);

-- name: set_node
-- Everything about a node that a person can change.
UPDATE node
SET host = %(host)s, address = %(address)s, enabled = %(enabled)s, weight = %(weight)s, capacity = %(capacity)s,
    draining = %(draining)s
WHERE node_id = %(node_id)s;

-- name: remove_node
-- A node that is gone for good.
DELETE FROM node WHERE node_id = %(node_id)s;

-- name: register_nodes
-- Nodes of a host as its configuration has them; whether they are in use stays as somebody has set it.
INSERT INTO node AS n (name, kind, host, address, data)
SELECT name, kind::node_kind, host, address, data
FROM jsonb_to_recordset(%(nodes)s::jsonb) AS own (name text, kind text, host text, address text, data jsonb)
ON CONFLICT (name) DO UPDATE
SET kind = EXCLUDED.kind, host = EXCLUDED.host, address = EXCLUDED.address, data = n.data || EXCLUDED.data
WHERE (n.kind, n.host, n.address) IS DISTINCT FROM (EXCLUDED.kind, EXCLUDED.host, EXCLUDED.address)
   OR NOT n.data @> EXCLUDED.data;

-- name: forget_nodes
-- Nodes that this host registered once and does not have any more.
DELETE FROM node
WHERE host = %(host)s AND data ->> 'registered_by' = %(registered_by)s AND name <> ALL (%(names)s);

-- name: beat_nodes
-- These nodes answered just now.
UPDATE node SET heartbeat_at = clock_timestamp() WHERE name = ANY (%(names)s);

-- name: report_nodes
-- Live figures of nodes as a controller sees them; a heartbeat for those that answer.
UPDATE node AS n
SET data = n.data || jsonb_build_object('live', told.live),
    heartbeat_at = CASE WHEN told.alive THEN clock_timestamp() ELSE n.heartbeat_at END
FROM jsonb_to_recordset(%(reports)s::jsonb) AS told (name text, alive boolean, live jsonb)
WHERE n.name = told.name;
