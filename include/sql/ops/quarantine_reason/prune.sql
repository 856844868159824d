-- grain: one reason of one rejected event
-- source: ops.quarantine_reason
-- idempotent: yes
-- re-run: deletes nothing more. The Parquet files in quarantine/ have a retention of their own
DELETE FROM ops.quarantine_reason
WHERE quarantined_at < DATEADD(day, -CAST(:days AS INTEGER), GETDATE())
