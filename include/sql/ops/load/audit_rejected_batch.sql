-- grain: one batch of a feed without a contract: nothing of it is clean
-- source: counts of the cleaning
-- idempotent: a batch that is in the audit gets no second row
-- re-run: inserts nothing
INSERT INTO ops.batch_audit (batch_id, feed, accepted, clean, quarantined, duplicates, corrected, committed_at)
SELECT
    batch_id,
    feed,
    SUM(accepted),
    SUM(clean),
    SUM(quarantined),
    SUM(duplicates),
    0,
    GETDATE()
FROM batch_object_staged
WHERE batch_id NOT IN (SELECT batch_id FROM batch_committed)
GROUP BY batch_id, feed
