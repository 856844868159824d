-- grain: one table that BigQuery does not have as it is
-- source: ops.stale_date
-- idempotent: reads only
-- re-run: the same, and what changed since
SELECT mart, COUNT(DISTINCT event_date) AS days
FROM ops.stale_date
WHERE mart LIKE 'bigquery.%'
GROUP BY mart
