-- Registrations as the proxies write them back (kamailio.location).

-- name: at_several_proxies
-- Accounts with phones at more than one proxy: at which of these (other) ones, if that lives.
SELECT 'sip:' || l.username || '@' || l.domain AS aor, array_agg(DISTINCT proxy.hop ORDER BY proxy.hop) AS hops
FROM kamailio.location AS l
JOIN unnest(%(server_ids)s::integer[], %(names)s::text[], %(hops)s::text[]) AS proxy (server_id, name, hop) USING (server_id)
JOIN node ON node.name = proxy.name AND node.kind = 'proxy' AND node.heartbeat_at > clock_timestamp() - interval '8 s'
WHERE (l.username, l.domain) IN (
    SELECT username, domain FROM kamailio.location GROUP BY username, domain HAVING count(DISTINCT server_id) > 1
)
GROUP BY l.username, l.domain;
