-- grain: one table
-- source: the table
-- idempotent: reads only
-- re-run: the same; 0 once the customer is taken out
SELECT COUNT(*) AS found_rows
FROM `{bigquery_table}`
WHERE {customer} = @customer_id
