-- grain: one batch whose audit does not have what its objects have
-- source: ops.batch_audit, ops.batch_object
-- idempotent: reads only
-- re-run: the same
SELECT
    audit.batch_id,
    audit.accepted,
    COALESCE(objects.accepted, 0) AS of_objects
FROM ops.batch_audit AS audit
LEFT JOIN (
    SELECT batch_id, SUM(accepted) AS accepted
    FROM ops.batch_object
    WHERE feed = :feed
    GROUP BY batch_id
) AS objects ON audit.batch_id = objects.batch_id
WHERE audit.feed = :feed
    AND audit.committed_at >= CAST(:since AS TIMESTAMP)
    AND (
        audit.accepted <> audit.clean + audit.quarantined + audit.duplicates
        OR audit.accepted <> COALESCE(objects.accepted, 0)
    )
ORDER BY audit.batch_id
LIMIT 20
