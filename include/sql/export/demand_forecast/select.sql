-- grain: one product and day of the forecast
-- source: mart.demand_forecast, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    forecast.feed,
    forecast.product_id,
    product.description,
    forecast.forecast_date,
    forecast.units_p05,
    forecast.units_p25,
    forecast.units_p50,
    forecast.units_p75,
    forecast.units_p95,
    forecast.demand_class,
    forecast.method,
    forecast.origin_date
FROM mart.demand_forecast AS forecast
LEFT JOIN core.dim_product AS product ON forecast.feed = product.feed AND forecast.product_id = product.product_id
