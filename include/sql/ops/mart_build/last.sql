-- grain: one row: when the mart was last published, NULL where it never was
-- source: ops.mart_build
-- idempotent: reads only
-- re-run: the same until the next publication
SELECT MAX(published_at) AS published_at
FROM ops.mart_build
WHERE mart = :mart
