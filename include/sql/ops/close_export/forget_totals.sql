-- grain: one table of this export, or of one that ended before it was swapped in, a week ago
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.export_total
WHERE export_id = :export_id
    OR counted_at < DATEADD(day, -7, GETDATE())
