-- grain: one mart and one of its sources
-- source: ops.mart
-- idempotent: reads only
-- re-run: the same
SELECT mart, source
FROM ops.mart
