-- grain: one table of the export
-- source: ops.export_total
-- idempotent: forget_table made room; where a later export has the row, nothing is inserted
-- re-run: inserts nothing
INSERT INTO ops.exported_table (table_name, export_id, totals, counted_at)
SELECT total.table_name, total.export_id, total.totals, total.counted_at
FROM ops.export_total AS total
LEFT JOIN ops.exported_table AS known ON total.table_name = known.table_name
WHERE total.export_id = :export_id
    AND known.table_name IS NULL
