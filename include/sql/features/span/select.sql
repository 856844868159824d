-- grain: one row: first and last day with sales, NULL where there is none, and the warehouse's own clock in UTC
-- source: core.sales_line
-- idempotent: reads only
-- re-run: the days as they are now
SELECT
    MIN(sale_date) AS first_day,
    MAX(sale_date) AS last_day,
    GETDATE() AS read_at
FROM core.sales_line
