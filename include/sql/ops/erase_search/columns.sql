-- grain: one column of one table
-- source: the warehouse's own description of itself
-- idempotent: reads only
-- re-run: the same, and what was created since
SELECT LOWER(table_schema || '.' || table_name) AS table_name, LOWER(column_name) AS column_name
FROM information_schema.columns
WHERE LOWER(table_schema) IN ('staging', 'core', 'mart')
ORDER BY table_name
