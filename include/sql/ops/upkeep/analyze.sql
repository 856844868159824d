-- grain: one table
-- source: the table
-- idempotent: yes
-- re-run: finds less to do
ANALYZE {table}
