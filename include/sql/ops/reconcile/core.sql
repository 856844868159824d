-- grain: one row: what the loads say that core has, and what it has
-- source: ops.batch_audit, the feed's events in core
-- idempotent: reads only
-- re-run: the same, and what was loaded since. One statement, so that both are of one moment
SELECT
    (SELECT COALESCE(SUM(clean - withdrawn + restored), 0) FROM ops.batch_audit WHERE feed = :feed) AS loaded,
    (SELECT COUNT(*) FROM {fact}) AS core_rows
