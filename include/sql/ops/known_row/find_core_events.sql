-- grain: one event of core on the days of the landed files, of an entity that they have
-- source: the feed's events in core; what the sort key leaves out is not read
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
CREATE TEMPORARY TABLE core_event AS
SELECT event_id, {key} AS entity
FROM {fact}
WHERE event_time >= (SELECT MIN(event_time) FROM landed_row)
    AND event_time <= (SELECT MAX(event_time) FROM landed_row)
    AND {key} IN (SELECT {key} FROM landed_row)
