-- grain: one row: the seconds since a table was last exported, NULL where none was
-- source: ops.exported_table, and the warehouse's own clock
-- idempotent: reads only
-- re-run: the same, later
SELECT DATEDIFF(second, MAX(counted_at), GETDATE()) AS seconds
FROM ops.exported_table
