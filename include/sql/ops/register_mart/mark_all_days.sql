-- grain: one day of the feed
-- source: all events of the feed in core
-- idempotent: more rows for a day change nothing
-- re-run: marks the same days again
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT DISTINCT :mart, CAST(event_time AS DATE), 'all days'
FROM {fact}
