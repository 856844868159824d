-- grain: one mart that is behind core
-- source: ops.stale_date; the tables of BigQuery have marks of their own
-- idempotent: reads only
-- re-run: the same, and what changed since
SELECT mart, COUNT(DISTINCT event_date) AS days
FROM ops.stale_date
WHERE mart NOT LIKE 'bigquery.%'
GROUP BY mart
