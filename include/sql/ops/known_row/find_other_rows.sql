-- grain: one event of core on the days of the landed files, of an entity that they have, whose id is not in the files
-- source: the feed's events in core; what the sort key leaves out is not read
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session. Mostly there is none, and what follows has little to compare
CREATE TEMPORARY TABLE other_row AS
SELECT event_id, {columns}
FROM {fact}
WHERE event_time >= (SELECT MIN(event_time) FROM landed_row)
    AND event_time <= (SELECT MAX(event_time) FROM landed_row)
    AND {key} IN (SELECT {key} FROM landed_row)
    AND event_id NOT IN (SELECT event_id FROM landed_row)
