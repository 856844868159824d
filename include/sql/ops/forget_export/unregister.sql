-- grain: one table that is not exported any more
-- source: none
-- idempotent: yes
-- re-run: deletes nothing more
DELETE FROM ops.mart
WHERE mart = :export
