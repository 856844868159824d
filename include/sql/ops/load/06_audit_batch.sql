-- grain: one batch
-- source: counts of the cleaning; events that core already has are duplicates, not clean, and some of those correct it
-- idempotent: a batch that is in the audit gets no second row
-- re-run: inserts nothing
INSERT INTO ops.batch_audit (batch_id, feed, accepted, clean, quarantined, duplicates, corrected, committed_at)
WITH loaded AS (
    SELECT COUNT(*) AS events
    FROM {staging} AS staged
    INNER JOIN matched ON staged.event_id = matched.event_id
),
fresh AS (
    SELECT COUNT(*) AS events
    FROM {staging} AS staged
    LEFT JOIN matched ON staged.event_id = matched.event_id
    WHERE matched.event_id IS NULL
),
corrected AS (
    SELECT COUNT(*) AS events
    FROM replaced
),
counted AS (
    SELECT
        batch_id,
        feed,
        SUM(accepted) AS accepted,
        SUM(quarantined) AS quarantined,
        SUM(duplicates) AS duplicates
    FROM batch_object_staged
    GROUP BY batch_id, feed
)
SELECT
    counted.batch_id,
    counted.feed,
    counted.accepted,
    fresh.events,
    counted.quarantined,
    counted.duplicates + loaded.events,
    corrected.events,
    GETDATE()
FROM counted
CROSS JOIN loaded
CROSS JOIN fresh
CROSS JOIN corrected
WHERE counted.batch_id NOT IN (SELECT batch_id FROM ops.batch_audit)
