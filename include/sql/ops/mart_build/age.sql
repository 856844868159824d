-- grain: one row: the seconds since a mart was last published, NULL where none was
-- source: ops.mart_build, and the warehouse's own clock
-- idempotent: reads only
-- re-run: the same, later
SELECT DATEDIFF(second, MAX(published_at), GETDATE()) AS seconds
FROM ops.mart_build
