-- grain: one row: the first and the last day with anything to show
-- source: mart.sales_daily, mart.demographics_daily, mart.product_movements_daily
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT MIN(first_day) AS first_day, MAX(last_day) AS last_day
FROM (
    SELECT MIN(period_start) AS first_day, MAX(period_start) AS last_day FROM mart.sales_daily
    UNION ALL
    SELECT MIN(period_start), MAX(period_start) FROM mart.demographics_daily
    UNION ALL
    SELECT MIN(period_start), MAX(period_start) FROM mart.product_movements_daily
) AS span
