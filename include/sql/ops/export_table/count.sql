-- grain: one table
-- source: all rows of the table as this transaction sees them, so as it unloads them
-- idempotent: an export has an id of its own
-- re-run: an export that is tried again has another id
INSERT INTO ops.export_total (export_id, table_name, totals, counted_at)
SELECT
    :export_id,
    '{table}',
    {warehouse_totals},
    GETDATE()
FROM {table}
