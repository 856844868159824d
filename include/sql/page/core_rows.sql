-- grain: one row: the events of a feed in core
-- source: the feed's fact table
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT COUNT(*) AS core_rows
FROM {fact}
