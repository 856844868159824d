-- grain: one day that changed, and one mart that is made of this one
-- source: build_date
-- idempotent: more rows for a day change nothing
-- re-run: marks the same days again
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT registered.mart, build_date.event_date, build_date.batch_id
FROM build_date
CROSS JOIN ops.mart AS registered
WHERE registered.source = :mart
