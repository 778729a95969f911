-- What numbers may lead to.

-- name: missing_destinations
-- Which of these destinations nobody has; queues, scenarios and the like may come later.
SELECT line,
       CASE kind WHEN 'account' THEN format('the tenant has no account "%%s"', destination)
                 WHEN 'group' THEN format('neither the tenant nor the system has a gateway group "%%s"', destination)
                 ELSE format('neither the tenant nor the system has a %%s "%%s"', kind, destination) END AS message
FROM unnest(%(lines)s::integer[], %(tenant_ids)s::integer[], %(kinds)s::text[], %(destinations)s::text[])
    AS wanted (line, tenant_id, kind, destination)
WHERE CASE kind
          WHEN 'gateway' THEN NOT EXISTS (
              SELECT FROM gateway g WHERE g.name = wanted.destination AND g.tenant_id IN (wanted.tenant_id, 0))
          WHEN 'group' THEN NOT EXISTS (
              SELECT FROM gateway_group g WHERE g.name = wanted.destination AND g.tenant_id IN (wanted.tenant_id, 0))
          WHEN 'account' THEN NOT EXISTS (
              SELECT FROM account a WHERE a.username = wanted.destination AND a.tenant_id = wanted.tenant_id
              UNION ALL
              SELECT FROM hunt_group h WHERE h.name = wanted.destination AND h.tenant_id = wanted.tenant_id)
          ELSE false END
ORDER BY line;
