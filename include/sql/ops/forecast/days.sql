-- grain: one row: how many days before today have a demand
-- source: mart.product_demand_daily
-- idempotent: reads only
-- re-run: the same, and what came since
SELECT COUNT(DISTINCT period_start) AS days
FROM mart.product_demand_daily
WHERE period_start < CAST(GETDATE() AS DATE)
