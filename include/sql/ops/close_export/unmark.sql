-- grain: one day and batch that BigQuery has now
-- source: ops.export_day; what changed since it was read stays marked
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.stale_date
USING ops.export_day
WHERE ops.export_day.export_id = :export_id
    AND ops.stale_date.mart = ops.export_day.mart
    AND ops.stale_date.event_date = ops.export_day.event_date
    AND ops.stale_date.batch_id = ops.export_day.batch_id
