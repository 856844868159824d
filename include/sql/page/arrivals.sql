-- grain: one minute of the last hour and feed with loaded batches
-- source: ops.batch_audit
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    DATE_TRUNC('minute', committed_at) AS minute_start,
    feed,
    SUM(accepted) AS accepted,
    SUM(quarantined) AS quarantined
FROM ops.batch_audit
WHERE committed_at >= DATEADD(minute, -60, GETDATE()) AND (:feed = 'all' OR feed = :feed)
GROUP BY DATE_TRUNC('minute', committed_at), feed
ORDER BY DATE_TRUNC('minute', committed_at)
LIMIT 1000
