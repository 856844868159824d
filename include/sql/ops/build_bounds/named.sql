-- grain: one of the first five days that changed
-- source: build_date
-- idempotent: reads only
-- re-run: the same
SELECT DISTINCT event_date
FROM build_date
ORDER BY event_date
LIMIT 5
