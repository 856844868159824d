-- grain: one hour of arrival of one feed
-- source: ops.reconciliation
-- idempotent: reads only
-- re-run: the same, and what was counted since
SELECT hour_start, is_sealed, counted_at, objects
FROM ops.reconciliation
WHERE feed = :feed AND hour_start >= CAST(:since AS TIMESTAMP)
