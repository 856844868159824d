-- grain: one fact
-- source: its rows of the days that changed, as this transaction sees them, so as it unloads them
-- idempotent: an export has an id of its own
-- re-run: an export that is tried again has another id
INSERT INTO ops.export_total (export_id, table_name, totals, counted_at)
SELECT
    :export_id,
    '{table}',
    {warehouse_totals},
    GETDATE()
FROM {table}
WHERE (SELECT COUNT(*) FROM ops.export_day WHERE mart = :export AND batch_id = 'all days') > 0
    OR CAST(event_time AS DATE) IN (SELECT event_date FROM ops.export_day WHERE mart = :export)
