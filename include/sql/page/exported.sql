-- grain: one table that BigQuery has
-- source: ops.exported_table, ops.stale_date
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    exported.table_name,
    exported.difference,
    COALESCE(waiting.days, 0) AS days,
    waiting.first_day,
    waiting.last_day,
    DATEDIFF(second, exported.counted_at, GETDATE()) AS exported_seconds,
    DATEDIFF(second, exported.compared_at, GETDATE()) AS compared_seconds
FROM ops.exported_table AS exported
LEFT JOIN (
    SELECT
        mart,
        COUNT(DISTINCT event_date) AS days,
        MIN(event_date) AS first_day,
        MAX(event_date) AS last_day
    FROM ops.stale_date
    WHERE mart LIKE 'bigquery.%'
    GROUP BY mart
) AS waiting ON 'bigquery.' || exported.table_name = waiting.mart
ORDER BY exported.table_name
LIMIT 100
