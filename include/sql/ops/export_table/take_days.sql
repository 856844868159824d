-- grain: one day and batch that this export takes in
-- source: ops.stale_date. Of a table with periods a day that core.dim_date does not have yet stays marked for the next export
-- idempotent: forget_days took away what an earlier try had
-- re-run: the same, and what changed since
INSERT INTO ops.export_day (export_id, mart, event_date, batch_id)
SELECT :export_id, mart, event_date, batch_id
FROM ops.stale_date
WHERE mart = :export
    AND (:is_whole = 'true' OR event_date IN (SELECT date_day FROM core.dim_date))
