-- grain: one day and batch that this build takes in
-- source: ops.stale_date. A day that core.dim_date does not have yet stays marked: the next run adds it there first
-- idempotent: a temporary table of this session
-- re-run: the same, and what changed since
CREATE TEMPORARY TABLE build_date AS
SELECT mart, event_date, batch_id
FROM ops.stale_date
WHERE mart = :mart
    AND (mart = 'core.dim_date' OR event_date IN (SELECT date_day FROM core.dim_date))
