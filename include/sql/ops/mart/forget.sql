-- grain: one mart and one of its sources
-- source: none
-- idempotent: yes
-- re-run: forgets nothing more
DELETE FROM ops.mart
WHERE mart = :mart
