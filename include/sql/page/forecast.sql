-- grain: one day of one of the eight products that most is asked for: what was asked for in eight weeks, and what will be
-- source: mart.demand_forecast, mart.product_demand_daily, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
WITH chosen AS (
    SELECT feed, product_id, origin_date, MAX(method) AS method, SUM(units_p50) AS expected
    FROM mart.demand_forecast
    WHERE :feed = 'all' OR feed = :feed
    GROUP BY feed, product_id, origin_date
    ORDER BY SUM(units_p50) DESC, feed, product_id
    LIMIT 8
),
days AS (
    SELECT
        chosen.feed,
        chosen.product_id,
        forecast.forecast_date AS day,
        CAST(NULL AS BIGINT) AS units,
        forecast.units_p05,
        forecast.units_p25,
        forecast.units_p50,
        forecast.units_p75,
        forecast.units_p95
    FROM chosen
    INNER JOIN mart.demand_forecast AS forecast ON chosen.feed = forecast.feed AND chosen.product_id = forecast.product_id
    UNION ALL
    SELECT
        chosen.feed,
        chosen.product_id,
        demand.period_start,
        demand.demand_units,
        NULL,
        NULL,
        NULL,
        NULL,
        NULL
    FROM chosen
    INNER JOIN mart.product_demand_daily AS demand ON chosen.feed = demand.feed AND chosen.product_id = demand.product_id
    WHERE DATEDIFF(day, demand.period_start, chosen.origin_date) BETWEEN 1 AND 56
)
SELECT
    days.feed,
    days.product_id,
    product.description,
    chosen.origin_date,
    chosen.method,
    chosen.expected,
    days.day,
    days.units,
    days.units_p05,
    days.units_p25,
    days.units_p50,
    days.units_p75,
    days.units_p95
FROM days
INNER JOIN chosen ON days.feed = chosen.feed AND days.product_id = chosen.product_id
LEFT JOIN core.dim_product AS product ON days.feed = product.feed AND days.product_id = product.product_id
ORDER BY chosen.expected DESC, days.feed, days.product_id, days.day
LIMIT 1000
