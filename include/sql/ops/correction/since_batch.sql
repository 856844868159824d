-- grain: one row of core that the batch, or one after it, replaced
-- source: ops.correction, ops.batch_audit
-- idempotent: reads only
-- re-run: the same, and what was corrected since
SELECT
    CAST(correction.replaced_time AS DATE) AS replaced_day,
    correction.event_id,
    correction.event_version
FROM ops.correction AS correction
INNER JOIN ops.batch_audit AS audit ON correction.feed = audit.feed AND correction.corrected_at >= audit.committed_at
WHERE audit.batch_id = :batch_id
