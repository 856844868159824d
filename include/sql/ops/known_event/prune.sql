-- grain: one event of a batch
-- source: ops.known_event, ops.batch_audit
-- idempotent: yes
-- re-run: deletes nothing more. A batch is in the lake within minutes of its commit, or its task is red
DELETE FROM ops.known_event
USING ops.batch_audit
WHERE ops.known_event.batch_id = ops.batch_audit.batch_id AND ops.batch_audit.committed_at < DATEADD(day, -90, GETDATE())
