-- grain: one day that waited for an export of the table
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.stale_date
WHERE mart = :export
