-- grain: one event that was loaded before loads kept its day
-- source: core.fact_product_event
-- idempotent: an event that is there with its day gets no second row
-- re-run: inserts nothing. The lock keeps loads away until the events that it sees have their days
LOCK staging.product_events;
INSERT INTO ops.event_day (event_key, event_date)
SELECT fact.event_key, fact.event_date
FROM (
    SELECT STRTOL(LEFT(MD5(event_id), 12), 16) AS event_key, CAST(event_time AS DATE) AS event_date
    FROM core.fact_product_event
) AS fact
LEFT JOIN ops.event_day AS known ON fact.event_key = known.event_key AND fact.event_date = known.event_date
WHERE known.event_key IS NULL
