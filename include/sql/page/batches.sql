-- grain: one of the last batches
-- source: ops.batch_audit
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT batch_id, feed, accepted, clean, quarantined, duplicates, committed_at
FROM ops.batch_audit
WHERE :feed = 'all' OR feed = :feed
ORDER BY committed_at DESC, batch_id
LIMIT 10
