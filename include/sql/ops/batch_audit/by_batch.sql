-- grain: one batch
-- source: ops.batch_audit
-- idempotent: reads only
-- re-run: the same row
SELECT accepted, clean, quarantined, duplicates
FROM ops.batch_audit
WHERE batch_id = :batch_id
