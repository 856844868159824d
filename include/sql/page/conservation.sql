-- grain: one feed
-- source: ops.batch_audit
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    feed,
    SUM(accepted) AS accepted,
    SUM(clean) AS clean,
    SUM(quarantined) AS quarantined,
    SUM(duplicates) AS duplicates,
    MAX(committed_at) AS last_commit_at,
    SUM(CASE WHEN committed_at >= DATEADD(minute, -1, GETDATE()) THEN accepted ELSE 0 END) AS last_minute,
    MIN(DATEDIFF(second, committed_at, GETDATE())) AS newest_seconds
FROM ops.batch_audit
WHERE :feed = 'all' OR feed = :feed
GROUP BY feed
ORDER BY feed
LIMIT 50
