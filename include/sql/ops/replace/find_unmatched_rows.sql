-- grain: one event that the file has and core has not, or the other way round, by its id
-- source: landed_row, core_row
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- Rows with the same values are matched by number: of these, core may have some under ids that are not the file's
CREATE TEMPORARY TABLE unmatched_row AS
WITH landed AS (
    SELECT event_id, {columns}, MIN(source_object) AS source_object
    FROM landed_row
    GROUP BY event_id, {columns}
),
landed_and_other AS (
    SELECT landed.*, 0 AS event_version, 0 AS is_outside, 0 AS is_other
    FROM landed
    LEFT JOIN core_row ON landed.event_id = core_row.event_id
    WHERE core_row.event_id IS NULL
    UNION ALL
    SELECT core_row.*, 1
    FROM core_row
    LEFT JOIN landed ON core_row.event_id = landed.event_id
    WHERE landed.event_id IS NULL
)
SELECT
    event_id,
    {columns},
    event_version,
    is_other,
    SUM(1 - is_other) OVER (PARTITION BY {columns}) AS landed_rows,
    SUM(is_other) OVER (PARTITION BY {columns}) AS other_rows,
    ROW_NUMBER() OVER (PARTITION BY {columns}, is_other ORDER BY event_id) AS row_number
FROM landed_and_other
