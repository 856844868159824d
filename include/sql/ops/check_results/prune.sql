-- grain: one result of a check
-- source: ops.check_results
-- idempotent: yes
-- re-run: deletes nothing more. What failed stays
DELETE FROM ops.check_results
WHERE failed_rows = 0 AND checked_at < DATEADD(day, -CAST(:days AS INTEGER), GETDATE())
