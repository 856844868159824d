-- grain: one row: what the table holds now, and how many days BigQuery does not have yet
-- source: the table, ops.stale_date
-- idempotent: reads only
-- re-run: the table as it is now
SELECT
    '{table}' AS table_name,
    {warehouse_totals} AS totals,
    (SELECT COUNT(*) FROM ops.stale_date WHERE mart = 'bigquery.{table}') AS days
FROM {table}
