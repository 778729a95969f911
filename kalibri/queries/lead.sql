-- Leads and do-not-call lists.

-- name: list_leads
-- Leads of a campaign page by page; filters that are null let everything through.
SELECT l.lead_id, l.external_id, l.name, li.name AS list, l.state, l.result, l.priority, l.rank, l.due_at, l.position, n.number,
       n.region, z.zones, l.attempts, l.uncharged, l.last_outcome, l.last_attempt_at, l.caller_id, l.consent_basis
FROM lead l
JOIN campaign_list li USING (tenant_id, list_id)
LEFT JOIN lead_number n USING (tenant_id, lead_id, position)
LEFT JOIN zone_set z ON z.zone_set_id = l.zone_set_id
WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s
  AND (%(list)s::text IS NULL OR li.name = %(list)s)
  AND (%(state)s::lead_state IS NULL OR l.state = %(state)s)
  AND (%(result)s::lead_result IS NULL OR l.result = %(result)s)
  AND (%(number)s::text IS NULL OR EXISTS (SELECT FROM lead_number x WHERE x.tenant_id = l.tenant_id
                                             AND x.campaign_id = l.campaign_id AND x.number = %(number)s
                                             AND x.lead_id = l.lead_id))
  AND l.lead_id > %(after)s
ORDER BY l.lead_id
LIMIT %(limit)s;

-- name: find_lead
-- One lead by its external id, or by one of its numbers.
SELECT l.tenant_id, l.lead_id, l.campaign_id, l.external_id, l.name, li.name AS list, l.state, l.result, l.priority, l.rank,
       l.due_at, l.position, l.attempts, l.uncharged, l.rule_counts, l.caller_id, q.name AS queue, l.gateway, l.variables,
       l.consent_basis, l.consent_at, l.consent_ref, l.expires_at, l.last_outcome, l.last_attempt_at, l.created_at, l.done_at
FROM lead l
JOIN campaign_list li USING (tenant_id, list_id)
LEFT JOIN queue q ON q.tenant_id = l.tenant_id AND q.queue_id = l.queue_id
WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s
  AND (l.external_id = %(lead)s OR l.lead_id = (SELECT n.lead_id FROM lead_number n
                                                WHERE n.tenant_id = %(tenant_id)s AND n.campaign_id = %(campaign_id)s
                                                  AND n.number = %(lead)s))
ORDER BY l.external_id <> %(lead)s
LIMIT 1;

-- name: get_lead
-- One lead by its id; locked, so that nobody else settles it at the same time.
SELECT l.tenant_id, l.lead_id, l.campaign_id, c.name AS campaign, l.state, l.priority, l.attempts, l.rule_counts, l.position
FROM lead l
JOIN campaign c USING (tenant_id, campaign_id)
WHERE l.tenant_id = %(tenant_id)s AND l.lead_id = %(lead_id)s
FOR NO KEY UPDATE OF l;

-- name: numbers
-- Numbers of a lead, with the do-not-call list that holds each now.
SELECT n.position, n.number, n.state, n.region, z.zones, n.attempts, n.last_outcome,
       do_not_call_scope(n.tenant_id, n.campaign_id, n.number, %(now)s) AS listed
FROM lead_number n
JOIN zone_set z USING (zone_set_id)
WHERE n.tenant_id = %(tenant_id)s AND n.lead_id = %(lead_id)s
ORDER BY n.position;

-- name: retry_leads
-- Finished leads wait again: their number is good again, and the attempts begin anew.
WITH chosen AS (
    SELECT l.tenant_id, l.lead_id FROM lead l
    JOIN campaign_list li USING (tenant_id, list_id)
    WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s AND l.state = 'done'
      AND (%(results)s::lead_result[] IS NULL OR l.result = ANY (%(results)s))
      AND (%(list)s::text IS NULL OR li.name = %(list)s)
      AND (%(leads)s::bigint[] IS NULL OR l.lead_id = ANY (%(leads)s))
    FOR NO KEY UPDATE OF l
), revived AS (
    UPDATE lead_number n SET state = 'good'
    FROM chosen
    WHERE n.tenant_id = chosen.tenant_id AND n.lead_id = chosen.lead_id
      AND n.state <> 'good' AND do_not_call_scope(n.tenant_id, n.campaign_id, n.number, %(now)s) IS NULL
    RETURNING n.lead_id, n.position
), first AS (
    SELECT c.lead_id, n.position, n.zone_set_id
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT n.position, n.zone_set_id FROM lead_number n
        WHERE n.tenant_id = c.tenant_id AND n.lead_id = c.lead_id
          AND (n.state = 'good' OR (n.lead_id, n.position) IN (SELECT lead_id, position FROM revived))
        ORDER BY n.position LIMIT 1) AS n
)
UPDATE lead l
SET state = 'waiting', result = NULL, done_at = NULL, due_at = %(now)s, attempts = 0, uncharged = 0, rule_counts = '{}',
    rank = lead_rank(l.priority), position = first.position, zone_set_id = first.zone_set_id
FROM first
WHERE l.tenant_id = %(tenant_id)s AND l.lead_id = first.lead_id;

-- name: due_now
-- Leads that wait for a later time are due at once.
UPDATE lead l SET due_at = %(now)s
FROM campaign_list li
WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s AND l.state = 'waiting' AND l.due_at > %(now)s
  AND li.tenant_id = l.tenant_id AND li.list_id = l.list_id AND (%(list)s::text IS NULL OR li.name = %(list)s)
  AND (%(leads)s::bigint[] IS NULL OR l.lead_id = ANY (%(leads)s));

-- name: put_list
-- The list of leads that came one by one.
INSERT INTO campaign_list (tenant_id, campaign_id, name) VALUES (%(tenant_id)s, %(campaign_id)s, %(name)s)
ON CONFLICT (tenant_id, campaign_id, name) DO UPDATE SET name = excluded.name
RETURNING list_id;

-- name: region_of
-- Region of the number range that holds a number.
SELECT region FROM number_range
WHERE set_id = (SELECT set_id FROM number_range_set WHERE current)
  AND first <= %(number)s::bigint AND last >= %(number)s::bigint
ORDER BY first DESC LIMIT 1;

-- name: add_lead
-- One new lead.
INSERT INTO lead (tenant_id, campaign_id, list_id, external_id, name, priority, rank, due_at, position, zone_set_id, queue_id,
                  gateway, variables, consent_basis, consent_at, consent_ref, expires_at)
VALUES (%(tenant_id)s, %(campaign_id)s, %(list_id)s, %(external_id)s, %(name)s, %(priority)s::lead_priority,
        lead_rank(%(priority)s::lead_priority), %(due_at)s, 1, %(zone_set_id)s,
        (SELECT queue_id FROM queue WHERE tenant_id = %(tenant_id)s AND name = %(queue)s), %(gateway)s, %(variables)s,
        %(consent_basis)s, %(consent_at)s, %(consent_ref)s, %(expires_at)s)
RETURNING lead_id;

-- name: add_number
-- A number of a new lead.
INSERT INTO lead_number (tenant_id, lead_id, position, campaign_id, number, region, zone_set_id)
VALUES (%(tenant_id)s, %(lead_id)s, %(position)s, %(campaign_id)s, %(number)s, %(region)s, %(zone_set_id)s);

-- name: zone_set_of
-- The id of a set of zones; it is made if there is none.
SELECT zone_set_of(%(zones)s);

-- name: end_lead
-- Finishes a lead.
SELECT lead_end(%(tenant_id)s, %(lead_id)s, %(result)s::lead_result);

-- name: remove_lead
-- Takes a lead out; one that is being called has its last call now, and is expired when that is settled.
WITH calling AS (
    UPDATE lead SET expires_at = %(now)s WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s AND state = 'dialling'
    RETURNING 1
)
SELECT EXISTS (SELECT FROM calling)
    OR (SELECT state <> 'dialling' FROM lead WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s)
       AND lead_end(%(tenant_id)s, %(lead_id)s, 'removed') IS NOT NULL;

-- name: turn_lead
-- Lets a lead wait for its next attempt.
SELECT lead_turn(%(tenant_id)s, %(lead_id)s, %(position)s, %(due_at)s, %(rank)s);

-- name: drop_number
-- Takes a number of a lead out for good.
SELECT lead_drop_number(%(tenant_id)s, %(lead_id)s, %(position)s, %(state)s::lead_number_state, %(due_at)s);

-- name: charge
-- Counts an attempt.
SELECT lead_charge(%(tenant_id)s, %(lead_id)s, %(position)s, %(outcome)s, %(charged)s, %(rule)s);

-- name: lead_state
-- The state of a lead.
SELECT state FROM lead WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s;

-- name: list_listed
-- Do-not-call lists in order of numbers; filters that are null let everything through.
SELECT d.tenant_id, t.name AS tenant, CASE WHEN d.tenant_id = 0 THEN 'global' WHEN d.campaign_id IS NULL THEN 'tenant'
       ELSE 'campaign' END AS scope, c.name AS campaign, d.number, d.source, d.note, d.expires_at, d.added_at
FROM do_not_call d
JOIN tenant t USING (tenant_id)
LEFT JOIN campaign c ON c.tenant_id = d.tenant_id AND c.campaign_id = d.campaign_id
WHERE (%(tenant_id)s::integer IS NULL OR d.tenant_id = %(tenant_id)s)
  AND (%(campaign)s::text IS NULL OR c.name = %(campaign)s)
  AND (%(number)s::text IS NULL OR d.number = %(number)s)
  AND (%(all)s OR d.expires_at IS NULL OR d.expires_at > %(now)s)
ORDER BY d.number, d.tenant_id, c.name NULLS FIRST
LIMIT %(limit)s;

-- name: add_listed
-- Puts a number on a do-not-call list.
SELECT do_not_call_add(%(tenant_id)s, %(campaign_id)s, %(number)s, %(source)s, %(until)s, %(note)s);

-- name: remove_listed
-- Takes a number from one do-not-call list.
DELETE FROM do_not_call
WHERE tenant_id = %(tenant_id)s AND campaign_id IS NOT DISTINCT FROM %(campaign_id)s AND number = %(number)s;

-- name: stage_listed
-- Where the rows of a file wait.
CREATE TEMPORARY TABLE staged_listed (
    line        integer NOT NULL,
    number      text NOT NULL,
    note        text NOT NULL,
    expires_at  timestamptz
) ON COMMIT DROP;

-- name: unstage_listed
-- Removes the table of an earlier import in the same transaction.
DROP TABLE IF EXISTS pg_temp.staged_listed;

-- name: copy_listed
-- Streams parsed rows into the staging table.
COPY staged_listed (line, number, note, expires_at) FROM STDIN;

-- name: count_listed
-- How many of the staged numbers are on the list already.
SELECT count(DISTINCT s.number)
FROM staged_listed s
JOIN do_not_call d ON d.number = s.number AND d.tenant_id = %(tenant_id)s
                  AND d.campaign_id IS NOT DISTINCT FROM %(campaign_id)s;

-- name: put_listed
-- Adds the staged numbers; the later end wins, and for ever is the latest.
INSERT INTO do_not_call AS d (tenant_id, campaign_id, number, source, note, expires_at)
SELECT DISTINCT ON (number) %(tenant_id)s, %(campaign_id)s, number, %(source)s, note, expires_at
FROM staged_listed
ORDER BY number, expires_at DESC NULLS FIRST, line
ON CONFLICT (number, tenant_id, campaign_id) DO UPDATE
SET expires_at = CASE WHEN d.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
                      ELSE greatest(d.expires_at, excluded.expires_at) END
WHERE d.expires_at IS NOT NULL;
