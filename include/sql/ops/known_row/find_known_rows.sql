-- grain: one event of the landed files that core has under another id, and does not have by its id
-- source: landed_row, core_event, other_row
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- Of rows with the same values, core is to have as many as it or the files have, so that as many of these are known as core
-- has under ids that are not in the files
CREATE TEMPORARY TABLE known_row AS
WITH fresh_and_other AS (
    SELECT DISTINCT event_id, {columns}, 0 AS is_other
    FROM landed_row
    WHERE {key} IN (SELECT {key} FROM other_row)
        AND event_id NOT IN (SELECT event_id FROM core_event)
    UNION ALL
    SELECT event_id, {columns}, 1
    FROM other_row
),
counted AS (
    SELECT
        event_id,
        is_other,
        SUM(is_other) OVER (PARTITION BY {columns}) AS others,
        ROW_NUMBER() OVER (PARTITION BY {columns}, is_other ORDER BY event_id) AS row_number
    FROM fresh_and_other
)
SELECT event_id
FROM counted
WHERE is_other = 0 AND row_number <= others
