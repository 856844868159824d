-- grain: one table of the export
-- source: ops.export_total; a table that a later export has brought stays as it is
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.exported_table
USING ops.export_total
WHERE ops.export_total.export_id = :export_id
    AND ops.exported_table.table_name = ops.export_total.table_name
    AND ops.exported_table.counted_at <= ops.export_total.counted_at
