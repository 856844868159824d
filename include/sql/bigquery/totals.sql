-- grain: one row: the number of rows of a table, and the sum or the count of values of each column
-- source: the table
-- idempotent: reads only
-- re-run: the table as it is now
SELECT
    '{table}' AS table_name,
    {bigquery_totals} AS totals
FROM `{bigquery_table}`
WHERE {counted_rows}
