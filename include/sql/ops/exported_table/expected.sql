-- grain: one table that BigQuery has, and what its export counted
-- source: ops.exported_table; of the export that BigQuery names, what is not closed yet
-- idempotent: reads only
-- re-run: the same until the next export
SELECT known.table_name, COALESCE(fresh.totals, known.totals) AS totals
FROM ops.exported_table AS known
LEFT JOIN ops.export_total AS fresh
    ON known.table_name = fresh.table_name AND fresh.export_id = :export_id
