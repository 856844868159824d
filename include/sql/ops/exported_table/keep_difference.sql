-- grain: one table that differs from BigQuery's
-- source: reconcile_layers, export_bigquery
-- idempotent: the last comparison counts
-- re-run: the same
UPDATE ops.exported_table
SET difference = :difference
WHERE table_name = :table
