-- grain: one batch
-- source: counts of the cleaning; events that core already has are duplicates, not clean, and some of those correct it
-- idempotent: a batch that is in the audit gets no second row
-- re-run: inserts nothing. Rows of core are the sum of clean - withdrawn + restored: what is new and taken out at once is both
INSERT INTO ops.batch_audit (
    batch_id, feed, accepted, clean, quarantined, duplicates, corrected, withdrawn, restored, committed_at
)
WITH taken AS (
    SELECT event_id, event_version, 0 AS is_withdrawal
    FROM {staging}
    UNION ALL
    SELECT event_id, event_version, 1
    FROM withdrawn_staged
),
counted_events AS (
    SELECT
        COUNT(CASE WHEN matched.event_id IS NULL THEN 1 END) AS fresh,
        COUNT(matched.event_id) AS loaded,
        COUNT(CASE WHEN taken.is_withdrawal = 0 THEN replaced.event_id END) AS corrected,
        COUNT(
            CASE WHEN taken.is_withdrawal = 1 AND (matched.event_id IS NULL OR replaced.event_id IS NOT NULL) THEN 1 END
        ) AS withdrawn,
        COUNT(
            CASE
                WHEN taken.is_withdrawal = 0 AND replaced.event_id IS NULL AND matched.event_version < taken.event_version
                    THEN 1
            END
        ) AS restored
    FROM taken
    LEFT JOIN matched ON taken.event_id = matched.event_id
    LEFT JOIN replaced ON taken.event_id = replaced.event_id
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
    counted_events.fresh,
    counted.quarantined,
    counted.duplicates + counted_events.loaded,
    counted_events.corrected,
    counted_events.withdrawn,
    counted_events.restored,
    GETDATE()
FROM counted
CROSS JOIN counted_events
WHERE counted.batch_id NOT IN (SELECT batch_id FROM batch_committed)
