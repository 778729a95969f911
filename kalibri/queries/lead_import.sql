-- Import of leads: rows wait in a temporary table until it is known what becomes of each.
-- Tables that have just grown by a million rows have no statistics yet, and then the planner takes every condition on
-- them for a rare one: it would compare each row with each. So a look-up in lead, lead_number is a LATERAL subquery
-- that it cannot turn inside out (OFFSET 0, an aggregate): one index probe a row, whatever it believes.

-- name: unstage
-- Removes the tables of an earlier import in the same transaction.
DROP TABLE IF EXISTS pg_temp.staged_lead, pg_temp.staged_number, pg_temp.staged_place, pg_temp.staged_known, pg_temp.staged_new, pg_temp.staged_zone, pg_temp.staged_problem;

-- name: stage
-- Where the rows of the file wait.
CREATE TEMPORARY TABLE staged_lead (
    line           integer NOT NULL,
    external_id    text NOT NULL,
    name           text NOT NULL,
    priority       text,
    numbers        text NOT NULL,
    countries      text NOT NULL,
    zone           text NOT NULL,
    region         text NOT NULL,
    queue          text NOT NULL,
    gateway        text NOT NULL,
    consent_basis  text NOT NULL,
    consent_at     timestamptz,
    consent_ref    text NOT NULL,
    expires_at     timestamptz,
    variables      text NOT NULL
) ON COMMIT DROP;

-- name: stage_numbers_table
-- One row a number of a row that is taken.
CREATE TEMPORARY TABLE staged_number (
    line          integer NOT NULL,
    position      integer NOT NULL,
    external_id   text NOT NULL,
    number        text NOT NULL,
    zone          text NOT NULL,
    region        text NOT NULL,
    country       text NOT NULL,
    range_region  text NOT NULL
) ON COMMIT DROP;

-- name: stage_zones_table
-- Each combination of what is known of a number, and what follows: region under its one name, set of zones.
CREATE TEMPORARY TABLE staged_zone (
    zone          text NOT NULL,
    region        text NOT NULL,
    country       text NOT NULL,
    range_region  text NOT NULL,
    one_name      text NOT NULL,
    zone_set_id   integer NOT NULL
) ON COMMIT DROP;

-- name: stage_places_table
-- Numbers as they will be stored.
CREATE TEMPORARY TABLE staged_place (
    line         integer NOT NULL,
    position     integer NOT NULL,
    external_id  text NOT NULL,
    number       text NOT NULL,
    region       text NOT NULL,
    zone_set_id  integer NOT NULL,
    listed       boolean NOT NULL
) ON COMMIT DROP;

-- name: stage_known_table
-- Rows whose lead is there already.
CREATE TEMPORARY TABLE staged_known (
    line     integer NOT NULL,
    lead_id  bigint NOT NULL
) ON COMMIT DROP;

-- name: stage_new_table
-- Ids of the leads that were made.
CREATE TEMPORARY TABLE staged_new (
    external_id  text NOT NULL,
    lead_id      bigint NOT NULL
) ON COMMIT DROP;

-- name: stage_problems_table
-- Rows that are not taken, and numbers of rows that are not, with the reason.
CREATE TEMPORARY TABLE staged_problem (
    line     integer NOT NULL,
    kind     text NOT NULL,
    message  text NOT NULL
) ON COMMIT DROP;

-- name: copy
-- Streams parsed rows into the staging table.
COPY staged_lead (line, external_id, name, priority, numbers, countries, zone, region, queue, gateway, consent_basis,
                  consent_at, consent_ref, expires_at, variables) FROM STDIN;

-- name: analyze_rows
-- The planner must know how many there are.
ANALYZE staged_lead;

-- name: analyze_known
-- The planner must know how many there are.
ANALYZE staged_known;

-- name: analyze_new
-- The planner must know how many there are.
ANALYZE staged_new;

-- name: analyze_numbers
-- The planner must know how many there are.
ANALYZE staged_number;

-- name: analyze_places
-- The planner must know how many there are.
ANALYZE staged_place;

-- name: lock_campaign
-- One import into a campaign at a time.
SELECT campaign_id FROM campaign WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s FOR NO KEY UPDATE;

-- name: find_list
-- A list of a campaign.
SELECT list_id, mapping FROM campaign_list
WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND name = %(name)s;

-- name: put_list
-- Makes the list, or notes that it was imported again.
INSERT INTO campaign_list (tenant_id, campaign_id, name, source, mapping, imported_at)
VALUES (%(tenant_id)s, %(campaign_id)s, %(name)s, %(source)s, %(mapping)s, clock_timestamp())
ON CONFLICT (tenant_id, campaign_id, name) DO UPDATE
SET source = excluded.source, mapping = excluded.mapping, imported_at = excluded.imported_at
RETURNING list_id;

-- name: repeated_ids
-- The first row of an external id counts; the others are duplicates.
WITH gone AS (
    DELETE FROM staged_lead s
    USING (SELECT line, min(line) OVER (PARTITION BY external_id) AS first FROM staged_lead) AS seen
    WHERE s.line = seen.line AND seen.line <> seen.first
    RETURNING s.line, s.external_id, seen.first
)
INSERT INTO staged_problem (line, kind, message)
SELECT line, 'duplicate', concat('the id "', external_id, '" stands in line ', first, ' already') FROM gone;

-- name: unknown_queues
-- Rows that name a queue which the tenant has not.
WITH gone AS (
    DELETE FROM staged_lead s
    WHERE s.queue <> '' AND NOT EXISTS (SELECT FROM queue q WHERE q.tenant_id = %(tenant_id)s AND q.name = s.queue)
    RETURNING s.line, s.queue
)
INSERT INTO staged_problem (line, kind, message)
SELECT line, 'bad', concat('there is no queue "', queue, '"') FROM gone;

-- name: known_leads
-- Rows whose external id the campaign has.
INSERT INTO staged_known (line, lead_id)
SELECT s.line, known.lead_id
FROM staged_lead s
CROSS JOIN LATERAL (
    SELECT l.lead_id FROM lead l
    WHERE l.tenant_id = %(tenant_id)s AND l.campaign_id = %(campaign_id)s AND l.external_id = s.external_id
    OFFSET 0
) AS known;

-- name: spread_numbers
-- Numbers of the rows, each with the region of the number range that holds it.
INSERT INTO staged_number (line, position, external_id, number, zone, region, country, range_region)
SELECT s.line, n.position, s.external_id, n.number, s.zone, s.region, replace(n.country, '-', ''),
       CASE WHEN r.last >= n.number::bigint THEN r.region ELSE '' END
FROM staged_lead s
CROSS JOIN LATERAL unnest(string_to_array(s.numbers, ' '), string_to_array(s.countries, ' '))
    WITH ORDINALITY AS n (number, country, position)
LEFT JOIN LATERAL (
    SELECT last, region FROM number_range
    WHERE set_id = (SELECT set_id FROM number_range_set WHERE current) AND first <= n.number::bigint
    ORDER BY first DESC LIMIT 1
) AS r ON true;

-- name: repeated_numbers
-- A number belongs to the first row that has it.
WITH gone AS (
    DELETE FROM staged_number s
    USING (SELECT line, number, min(line) OVER (PARTITION BY number) AS first FROM staged_number) AS seen
    WHERE s.line = seen.line AND s.number = seen.number AND seen.line <> seen.first
    RETURNING s.line, s.number, seen.first
)
INSERT INTO staged_problem (line, kind, message)
SELECT line, 'number', concat(number, ' stands in line ', first, ' already') FROM gone;

-- name: taken_numbers
-- A number belongs to the lead of the campaign that has it already.
WITH owners AS MATERIALIZED (
    SELECT s.line, s.number, owner.external_id
    FROM staged_number s
    CROSS JOIN LATERAL (
        SELECT l.external_id FROM lead_number n JOIN lead l USING (tenant_id, lead_id)
        WHERE n.tenant_id = %(tenant_id)s AND n.campaign_id = %(campaign_id)s AND n.number = s.number
        OFFSET 0
    ) AS owner
    WHERE owner.external_id <> s.external_id
), gone AS (
    DELETE FROM staged_number s USING owners WHERE s.line = owners.line AND s.number = owners.number
    RETURNING s.line, s.number, owners.external_id
)
INSERT INTO staged_problem (line, kind, message)
SELECT line, 'number', concat('the lead "', external_id, '" has ', number, ' already') FROM gone;

-- name: rows_without_number
-- Rows all of whose numbers belong to others are duplicates, unless their lead is there already.
WITH gone AS (
    DELETE FROM staged_lead s
    WHERE NOT EXISTS (SELECT FROM staged_number n WHERE n.line = s.line)
      AND NOT EXISTS (SELECT FROM staged_known k WHERE k.line = s.line)
    RETURNING s.line
)
UPDATE staged_problem p SET kind = 'duplicate' FROM gone WHERE p.line = gone.line AND p.kind = 'number';

-- name: known_places
-- Every combination of what is known of a number.
SELECT DISTINCT zone, region, country, range_region FROM staged_number;

-- name: zone_set_of
-- The id of a set of zones; it is made if there is none.
SELECT zone_set_of(%(zones)s);

-- name: add_zone
-- What follows from a combination.
INSERT INTO staged_zone (zone, region, country, range_region, one_name, zone_set_id)
VALUES (%(zone)s, %(region)s, %(country)s, %(range_region)s, %(one_name)s, %(zone_set_id)s);

-- name: place_numbers
-- Numbers with region, zones, and whether a do-not-call list holds them now.
INSERT INTO staged_place (line, position, external_id, number, region, zone_set_id, listed)
SELECT n.line, row_number() OVER (PARTITION BY n.line ORDER BY n.position), n.external_id, n.number, z.one_name,
       z.zone_set_id,
       EXISTS (SELECT FROM do_not_call d
               WHERE d.number = n.number AND d.tenant_id IN (0, %(tenant_id)s)
                 AND (d.campaign_id IS NULL OR d.campaign_id = %(campaign_id)s)
                 AND (d.expires_at IS NULL OR d.expires_at > %(now)s))
FROM staged_number n
JOIN staged_zone z USING (zone, region, country, range_region);

-- name: listed_numbers
-- Notes the numbers of do-not-call lists.
INSERT INTO staged_problem (line, kind, message)
SELECT line, 'do_not_call', concat(number, ' is on a do-not-call list') FROM staged_place WHERE listed;

-- name: change_leads
-- Leads that are there: an empty field changes nothing, variables are merged. Consent revives who lacked it.
UPDATE lead l
SET name = coalesce(nullif(s.name, ''), l.name),
    priority = coalesce(s.priority::lead_priority, l.priority),
    rank = CASE WHEN s.priority IS NULL OR l.rank = 4 THEN l.rank ELSE lead_rank(s.priority::lead_priority) END,
    queue_id = coalesce(q.queue_id, l.queue_id),
    gateway = coalesce(nullif(s.gateway, ''), l.gateway),
    consent_basis = coalesce(nullif(s.consent_basis, ''), l.consent_basis),
    consent_at = coalesce(s.consent_at, l.consent_at),
    consent_ref = coalesce(nullif(s.consent_ref, ''), l.consent_ref),
    expires_at = coalesce(s.expires_at, l.expires_at),
    variables = l.variables || s.variables::jsonb,
    state = CASE WHEN l.result = 'no_consent' AND s.consent_basis <> '' THEN 'waiting' ELSE l.state END,
    done_at = CASE WHEN l.result = 'no_consent' AND s.consent_basis <> '' THEN NULL ELSE l.done_at END,
    result = CASE WHEN l.result = 'no_consent' AND s.consent_basis <> '' THEN NULL ELSE l.result END
FROM staged_known k
JOIN staged_lead s USING (line)
LEFT JOIN queue q ON q.tenant_id = %(tenant_id)s AND q.name = s.queue
WHERE l.tenant_id = %(tenant_id)s AND l.lead_id = k.lead_id
  AND (l.name, l.priority, l.queue_id, l.gateway, l.consent_basis, l.consent_at, l.consent_ref, l.expires_at, l.variables)
      IS DISTINCT FROM
      (coalesce(nullif(s.name, ''), l.name), coalesce(s.priority::lead_priority, l.priority),
       coalesce(q.queue_id, l.queue_id), coalesce(nullif(s.gateway, ''), l.gateway),
       coalesce(nullif(s.consent_basis, ''), l.consent_basis), coalesce(s.consent_at, l.consent_at),
       coalesce(nullif(s.consent_ref, ''), l.consent_ref), coalesce(s.expires_at, l.expires_at),
       l.variables || s.variables::jsonb)
RETURNING s.line;

-- name: move_numbers
-- Numbers that are there and of which the file knows another place now.
WITH moved AS MATERIALIZED (
    SELECT p.line, p.zone_set_id, p.region, n.lead_id, n.position
    FROM staged_place p
    CROSS JOIN LATERAL (
        SELECT n.lead_id, n.position, n.zone_set_id, n.region FROM lead_number n
        WHERE n.tenant_id = %(tenant_id)s AND n.campaign_id = %(campaign_id)s AND n.number = p.number
        OFFSET 0
    ) AS n
    WHERE (n.zone_set_id, n.region) IS DISTINCT FROM (p.zone_set_id, p.region)
)
UPDATE lead_number n
SET zone_set_id = moved.zone_set_id, region = moved.region
FROM moved
WHERE n.tenant_id = %(tenant_id)s AND n.lead_id = moved.lead_id AND n.position = moved.position
RETURNING moved.line;

-- name: follow_numbers
-- Leads of the file whose next number has other zones than they noted.
UPDATE lead l
SET zone_set_id = n.zone_set_id
FROM staged_known k
JOIN lead_number n ON n.tenant_id = %(tenant_id)s AND n.lead_id = k.lead_id
WHERE l.tenant_id = %(tenant_id)s AND l.lead_id = k.lead_id AND l.state <> 'done' AND n.position = l.position
  AND n.zone_set_id <> l.zone_set_id;

-- name: more_numbers
-- Further numbers of leads that are there.
WITH further AS MATERIALIZED (
    SELECT p.line, k.lead_id, p.number, p.listed, p.region, p.zone_set_id,
           last.position + row_number() OVER (PARTITION BY k.lead_id ORDER BY p.position) AS position
    FROM staged_known k
    JOIN staged_place p USING (line)
    CROSS JOIN LATERAL (SELECT count(*) AS known FROM lead_number n
                        WHERE n.tenant_id = %(tenant_id)s AND n.campaign_id = %(campaign_id)s AND n.number = p.number) AS there
    CROSS JOIN LATERAL (SELECT max(n.position) AS position FROM lead_number n
                        WHERE n.tenant_id = %(tenant_id)s AND n.lead_id = k.lead_id) AS last
    WHERE there.known = 0
), made AS (
    INSERT INTO lead_number (tenant_id, lead_id, position, campaign_id, number, state, region, zone_set_id)
    SELECT %(tenant_id)s, lead_id, position, %(campaign_id)s, number,
           CASE WHEN listed THEN 'do_not_call' ELSE 'good' END::lead_number_state, region, zone_set_id
    FROM further
)
SELECT line FROM further;

-- name: count_new
-- What the rows of new leads are.
SELECT count(*) AS added,
       count(*) FILTER (WHERE first.listed) AS do_not_call,
       count(*) FILTER (WHERE NOT first.listed AND first.zone_set_id = 0) AS no_zone,
       count(*) FILTER (WHERE NOT first.listed AND first.zone_set_id <> 0
                              AND first.zone_set_id <> ALL (%(open_sets)s)) AS outside_hours,
       count(*) FILTER (WHERE %(consent_required)s AND s.consent_basis = '') AS no_consent
FROM staged_lead s
JOIN (SELECT DISTINCT ON (line) line, listed, zone_set_id FROM staged_place ORDER BY line, listed, position) AS first
    USING (line)
WHERE NOT EXISTS (SELECT FROM staged_known k WHERE k.line = s.line);

-- name: count_known
-- Rows whose lead is there already.
SELECT count(*) FROM staged_known;

-- name: add_leads
-- New leads, in the order of the file. Who can never be called is stored as done, so that the list is whole.
WITH made AS (
    INSERT INTO lead (tenant_id, campaign_id, list_id, external_id, name, state, result, done_at, priority, rank, due_at,
                      position, zone_set_id, queue_id, gateway, variables, consent_basis, consent_at, consent_ref, expires_at)
    SELECT %(tenant_id)s, %(campaign_id)s, %(list_id)s, s.external_id, s.name,
           CASE WHEN first.listed THEN 'done' ELSE 'waiting' END::lead_state,
           CASE WHEN first.listed THEN 'do_not_call' END::lead_result, CASE WHEN first.listed THEN %(now)s::timestamptz END,
           coalesce(s.priority, %(priority)s)::lead_priority, lead_rank(coalesce(s.priority, %(priority)s)::lead_priority),
           %(now)s, first.position, first.zone_set_id, q.queue_id, s.gateway, s.variables::jsonb, s.consent_basis,
           s.consent_at, s.consent_ref, s.expires_at
    FROM staged_lead s
    JOIN (SELECT DISTINCT ON (line) line, listed, position, zone_set_id FROM staged_place ORDER BY line, listed, position) AS first
        USING (line)
    LEFT JOIN queue q ON q.tenant_id = %(tenant_id)s AND q.name = s.queue
    WHERE NOT EXISTS (SELECT FROM staged_known k WHERE k.line = s.line)
    ORDER BY s.line
    RETURNING external_id, lead_id
)
INSERT INTO staged_new (external_id, lead_id) SELECT external_id, lead_id FROM made;

-- name: add_numbers
-- Numbers of the new leads.
INSERT INTO lead_number (tenant_id, lead_id, position, campaign_id, number, state, region, zone_set_id)
SELECT %(tenant_id)s, n.lead_id, p.position, %(campaign_id)s, p.number,
       CASE WHEN p.listed THEN 'do_not_call' ELSE 'good' END::lead_number_state, p.region, p.zone_set_id
FROM staged_new n
JOIN staged_place p USING (external_id);

-- name: problem_counts
-- How many rows have each kind of problem.
SELECT kind, count(DISTINCT line) AS rows FROM staged_problem GROUP BY kind;

-- name: problems
-- Every problem in the order of the file.
SELECT line, kind, message FROM staged_problem ORDER BY line, kind, message;

-- name: copy_problems
-- Streams rows that are no leads into the table of problems.
COPY staged_problem (line, kind, message) FROM STDIN;
