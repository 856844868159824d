-- grain: one event of core of a value that the file has, on any day
-- source: the feed's events in core, by the column that replaces; run by hand, so all days may be read
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- is_outside: the event is of a day before the file's first or after its last
CREATE TEMPORARY TABLE core_row AS
SELECT
    event_id,
    {columns},
    CAST(NULL AS VARCHAR(1024)) AS source_object,
    event_version,
    CASE
        WHEN event_time >= (SELECT DATE_TRUNC('day', MIN(event_time)) FROM landed_row)
            AND event_time < (SELECT DATEADD(day, 1, DATE_TRUNC('day', MAX(event_time))) FROM landed_row)
            THEN 0
        ELSE 1
    END AS is_outside
FROM {fact}
WHERE {key} IN (SELECT {key} FROM landed_row)
