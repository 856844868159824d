-- grain: one row: the days among which core may have events of the batch
-- source: the events' own days, and those under which core had them in any version
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew
CREATE TEMPORARY TABLE batch_span AS
SELECT
    CAST(MIN(event_date) AS TIMESTAMP) AS first_time,
    CAST(DATEADD(day, 1, MAX(event_date)) AS TIMESTAMP) AS end_time
FROM (
    SELECT event_date
    FROM batch_event
    UNION ALL
    SELECT known.event_date
    FROM batch_event
    INNER JOIN ops.event_day AS known ON batch_event.event_key = known.event_key
) AS days
