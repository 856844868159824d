-- grain: one period that the export replaces, and whether it replaces all rows of the table
-- source: ops.export_day, core.dim_date
-- idempotent: reads only
-- re-run: the same
SELECT
    dates.{period}_start AS period_start,
    MAX(CASE WHEN changed.batch_id = 'all days' THEN 1 ELSE 0 END) AS is_whole
FROM ops.export_day AS changed
INNER JOIN core.dim_date AS dates ON changed.event_date = dates.date_day
WHERE changed.export_id = :export_id
    AND changed.mart = :export
GROUP BY dates.{period}_start
ORDER BY period_start
