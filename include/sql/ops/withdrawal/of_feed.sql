-- grain: one row: whether events of the feed were taken out by files older than a time
-- source: ops.withdrawal
-- idempotent: reads only
-- re-run: the same, and what was withdrawn since
SELECT COUNT(*) AS withdrawals
FROM ops.withdrawal
WHERE feed = :feed AND landed_at < CAST(:landed_at AS TIMESTAMP)
