-- grain: one product of a feed that was asked for in the last 91 days, and one of the 28 days from the origin of the forecast
-- source: the program forecast/, from mart.product_demand_daily
-- idempotent: forecast_demand replaces the whole
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.demand_forecast (
    feed VARCHAR(64) NOT NULL,
    product_id VARCHAR(512) NOT NULL,
    forecast_date DATE NOT NULL,
    units_p05 BIGINT NOT NULL,
    units_p25 BIGINT NOT NULL,
    units_p50 BIGINT NOT NULL,
    units_p75 BIGINT NOT NULL,
    units_p95 BIGINT NOT NULL,
    demand_class VARCHAR(16) NOT NULL,
    method VARCHAR(64) NOT NULL,
    origin_date DATE NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    PRIMARY KEY (feed, product_id, forecast_date)
)
SORTKEY (feed, product_id, forecast_date)
