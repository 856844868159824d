-- grain: one day of a feed's events
-- source: ops.reconciled_day
-- idempotent: reads only
-- re-run: the same, and what was compared since
SELECT event_date, compared_at, differing
FROM ops.reconciled_day
WHERE feed = :feed
