-- grain: one event of the landed files that core does not have by its id
-- source: landed_row, core_row
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- is_known: core has the row under another id. Of rows with the same values, core is to have as many as it or the files
-- have, so that as many of these are known as core has under ids that are not in the files
CREATE TEMPORARY TABLE fresh_row AS
WITH landed AS (
    SELECT event_id, {columns}, MIN(source_object) AS source_object
    FROM landed_row
    GROUP BY event_id, {columns}
),
landed_and_other AS (
    SELECT landed.*, 0 AS is_other
    FROM landed
    LEFT JOIN core_row ON landed.event_id = core_row.event_id
    WHERE core_row.event_id IS NULL
    UNION ALL
    SELECT core_row.*, CAST(NULL AS VARCHAR(1024)), 1
    FROM core_row
    LEFT JOIN landed ON core_row.event_id = landed.event_id
    WHERE landed.event_id IS NULL
),
counted AS (
    SELECT
        event_id,
        source_object,
        {key} AS entity,
        is_other,
        SUM(is_other) OVER (PARTITION BY {columns}) AS others,
        ROW_NUMBER() OVER (PARTITION BY {columns}, is_other ORDER BY event_id) AS row_number
    FROM landed_and_other
)
SELECT
    counted.event_id,
    counted.source_object,
    CASE WHEN counted.row_number <= counted.others THEN 1 ELSE 0 END AS is_known,
    CASE WHEN known.entity IS NOT NULL THEN 1 ELSE 0 END AS has_known_entity
FROM counted
LEFT JOIN (SELECT DISTINCT {key} AS entity FROM core_row) AS known ON counted.entity = known.entity
WHERE counted.is_other = 0
