-- grain: one product of mart.demand_forecast
-- source: the program forecast/, from mart.product_demand_daily
-- idempotent: forecast_demand replaces the whole
-- re-run: creates nothing twice. The types are those of the Parquet files
CREATE TABLE IF NOT EXISTS mart.lead_time_demand (
    feed VARCHAR(64) NOT NULL,
    product_id VARCHAR(512) NOT NULL,
    demand_class VARCHAR(16) NOT NULL,
    origin_date DATE NOT NULL,
    lead_days INTEGER NOT NULL,
    service_level DECIMAL(18, 4) NOT NULL,
    expected_units DECIMAL(18, 2) NOT NULL,
    reorder_point BIGINT NOT NULL,
    order_up_to BIGINT NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    PRIMARY KEY (feed, product_id)
)
