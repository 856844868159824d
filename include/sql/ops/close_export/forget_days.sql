-- grain: one day and batch of the export
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.export_day
WHERE export_id = :export_id
