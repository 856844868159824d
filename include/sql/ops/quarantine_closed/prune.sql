-- grain: one rejected event that is closed
-- source: ops.quarantine_closed, ops.quarantine_reason
-- idempotent: yes
-- re-run: deletes nothing more. An event goes with the last of its reasons
DELETE FROM ops.quarantine_closed
WHERE NOT EXISTS (
    SELECT 1
    FROM ops.quarantine_reason AS reason
    WHERE reason.feed = ops.quarantine_closed.feed
        AND reason.event_id = ops.quarantine_closed.event_id
        AND reason.event_version = ops.quarantine_closed.event_version
)
