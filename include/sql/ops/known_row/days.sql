-- grain: one day on which core has events of the feed, of the days of the landed files
-- source: the feed's events in core; what the sort key leaves out is not read
-- idempotent: reads only
-- re-run: the same answer
SELECT DISTINCT CAST(event_time AS DATE) AS event_date
FROM {fact}
WHERE event_time >= CAST(:first_day AS TIMESTAMP)
    AND event_time < DATEADD(day, 1, CAST(:last_day AS TIMESTAMP))
