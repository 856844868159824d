-- grain: one table that BigQuery had
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.exported_table
WHERE table_name = :table
