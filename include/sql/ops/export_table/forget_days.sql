-- grain: one table
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more. An earlier export that still runs cannot take away marks of days any more
DELETE FROM ops.export_day
WHERE mart = :export
