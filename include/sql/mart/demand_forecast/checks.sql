-- grain: one check
-- source: staged, the rows that are about to replace those of mart.demand_forecast
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.demand_forecast',
    'feed, product_id and forecast_date are unique',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id || ' ' || CAST(forecast_date AS VARCHAR)),
    GETDATE()
FROM (SELECT feed, product_id, forecast_date FROM staged GROUP BY feed, product_id, forecast_date HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.demand_forecast',
    'quantiles ascend from zero',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id || ' ' || CAST(forecast_date AS VARCHAR)),
    GETDATE()
FROM staged
WHERE units_p05 < 0
    OR units_p25 < units_p05
    OR units_p50 < units_p25
    OR units_p75 < units_p50
    OR units_p95 < units_p75
UNION ALL
SELECT
    :build_id,
    'mart.demand_forecast',
    'each product has the 28 days from the origin',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM (
    SELECT feed, product_id
    FROM staged
    GROUP BY feed, product_id
    HAVING COUNT(*) <> 28
        OR MIN(forecast_date) <> MIN(origin_date)
        OR MAX(DATEDIFF(day, origin_date, forecast_date)) <> 27
) AS incomplete
UNION ALL
SELECT
    :build_id,
    'mart.demand_forecast',
    'the origin is the day after the last demand',
    'warn',
    COUNT(*),
    MIN('origin ' || CAST(forecast.origin_date AS VARCHAR) || ', last demand ' || CAST(demand.last_day AS VARCHAR)),
    GETDATE()
FROM (SELECT DISTINCT origin_date FROM staged) AS forecast
CROSS JOIN (
    SELECT MAX(period_start) AS last_day
    FROM mart.product_demand_daily
    WHERE period_start < CAST(GETDATE() AS DATE)
) AS demand
WHERE DATEDIFF(day, demand.last_day, forecast.origin_date) <> 1
