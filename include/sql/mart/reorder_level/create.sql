-- grain: one product of mart.lead_time_demand
-- source: mart.lead_time_demand, mart.inventory_level
-- idempotent: build_marts and forecast_demand replace the whole, because every day moves what is on hand
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.reorder_level (
    feed VARCHAR(64) NOT NULL,
    product_id VARCHAR(512) NOT NULL,
    origin_date DATE NOT NULL,
    demand_class VARCHAR(16) NOT NULL,
    lead_days BIGINT NOT NULL,
    service_level DECIMAL(18, 4) NOT NULL,
    expected_units DECIMAL(18, 2) NOT NULL,
    safety_stock DECIMAL(18, 2) NOT NULL,
    reorder_point BIGINT NOT NULL,
    order_up_to BIGINT NOT NULL,
    on_hand BIGINT,
    order_quantity BIGINT,
    days_until_stock_out DECIMAL(18, 1),
    PRIMARY KEY (feed, product_id)
)
