-- name: stage
-- Where the rows of the files wait until all of them are known to be good.
CREATE TEMPORARY TABLE staged_range (
    file      text NOT NULL,
    line      integer NOT NULL,
    first     bigint NOT NULL,
    last      bigint NOT NULL,
    operator  text NOT NULL,
    region    text NOT NULL,
    inn       text NOT NULL
) ON COMMIT DROP;

-- name: unstage
-- Removes the staging table of an earlier use in the same transaction.
DROP TABLE IF EXISTS pg_temp.staged_range;

-- name: copy
-- Streams parsed rows into the staging table.
COPY staged_range (file, line, first, last, operator, region, inn) FROM STDIN;

-- name: overlaps
-- Rows that begin inside an earlier range, with where that one stands.
SELECT file, line, first, other_file, other_line
FROM (
    SELECT file, line, first,
           max(last) OVER before AS reach,
           lag(file) OVER ordered AS other_file,
           lag(line) OVER ordered AS other_line
    FROM staged_range
    WINDOW ordered AS (ORDER BY first, last, file, line),
           before AS (ORDER BY first, last, file, line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS staged
WHERE first <= reach
ORDER BY file, line;

-- name: staged_regions
-- The region texts of the staged rows, with how many rows bear them.
SELECT region, count(*) AS ranges FROM staged_range GROUP BY region ORDER BY region;

-- name: differences
-- Staged ranges against those in force: added, removed, or the same range with other contents.
SELECT CASE WHEN current.first IS NULL THEN 'added' WHEN staged.first IS NULL THEN 'removed' ELSE 'changed' END AS kind,
       coalesce(staged.first, current.first) AS first,
       coalesce(staged.last, current.last) AS last,
       current.operator AS old_operator, staged.operator AS operator,
       current.region AS old_region, staged.region AS region
FROM (
    SELECT number_range.* FROM number_range JOIN number_range_set USING (set_id) WHERE number_range_set.current
) AS current
FULL JOIN staged_range AS staged ON staged.first = current.first AND staged.last = current.last
WHERE (current.operator, current.region, current.inn) IS DISTINCT FROM (staged.operator, staged.region, staged.inn)
   OR current.first IS NULL OR staged.first IS NULL
ORDER BY 2, 1 DESC;

-- name: difference_counts
-- How many staged ranges are new, gone, changed and the same, against those in force.
SELECT count(*) FILTER (WHERE current.first IS NULL) AS added,
       count(*) FILTER (WHERE staged.first IS NULL) AS removed,
       count(*) FILTER (WHERE current.first IS NOT NULL AND staged.first IS NOT NULL AND NOT same) AS changed,
       count(*) FILTER (WHERE same) AS unchanged
FROM (
    SELECT number_range.* FROM number_range JOIN number_range_set USING (set_id) WHERE number_range_set.current
) AS current
FULL JOIN staged_range AS staged ON staged.first = current.first AND staged.last = current.last
CROSS JOIN LATERAL (
    SELECT current.first IS NOT NULL AND staged.first IS NOT NULL
           AND (current.operator, current.region, current.inn) = (staged.operator, staged.region, staged.inn) AS same
) AS compared;

-- name: add_set
-- A new import, not in force yet.
INSERT INTO number_range_set (source, range_count)
SELECT %(source)s, count(*) FROM staged_range
RETURNING set_id;

-- name: fill_set
-- The staged rows become the ranges of an import.
INSERT INTO number_range (set_id, first, last, operator, region, inn)
SELECT %(set_id)s, first, last, operator, region, inn FROM staged_range ORDER BY first;

-- name: retire_current
-- No import is in force any more (until the next statement of the same transaction).
UPDATE number_range_set SET current = false WHERE current;

-- name: make_current
-- This import is in force.
UPDATE number_range_set SET current = true WHERE set_id = %(set_id)s;

-- name: drop_old_sets
-- Only the newest imports are kept, to compare with and to go back to; never the one in force.
DELETE FROM number_range_set
WHERE NOT current
  AND set_id NOT IN (SELECT set_id FROM number_range_set ORDER BY set_id DESC LIMIT %(keep)s);

-- name: list_sets
-- The imports that are kept, newest first.
SELECT set_id, source, imported_at, range_count, current FROM number_range_set ORDER BY set_id DESC;

-- name: get_set
-- One import.
SELECT set_id, source, imported_at, range_count, current FROM number_range_set WHERE set_id = %(set_id)s;

-- name: regions
-- The region texts in force, with how many ranges and numbers bear them.
SELECT region, count(*) AS ranges, sum(last - first + 1)::bigint AS numbers
FROM number_range JOIN number_range_set USING (set_id)
WHERE current
GROUP BY region
ORDER BY region;

-- name: lookup
-- The range in force that holds a number.
SELECT first, last, operator, region, inn
FROM (
    SELECT number_range.*
    FROM number_range JOIN number_range_set USING (set_id)
    WHERE current AND first <= %(number)s
    ORDER BY first DESC
    LIMIT 1
) AS nearest
WHERE last >= %(number)s;
