-- grain: one table that was compared with BigQuery's
-- source: reconcile_layers, export_bigquery
-- idempotent: the last comparison counts; those that differ get their difference by keep_difference
-- re-run: the same, with a new time
UPDATE ops.exported_table
SET
    difference = NULL,
    compared_at = GETDATE()
WHERE table_name IN ({tables})
