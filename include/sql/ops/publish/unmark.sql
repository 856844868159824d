-- grain: one day and batch that the mart has now
-- source: build_date; what changed since it was read stays marked
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.stale_date
USING build_date
WHERE ops.stale_date.mart = build_date.mart
    AND ops.stale_date.event_date = build_date.event_date
    AND ops.stale_date.batch_id = build_date.batch_id
