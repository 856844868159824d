-- grain: one product with movements, as of the last day with movements
-- source: mart.product_movements_daily
-- idempotent: build_marts replaces the whole, because every day moves the day as of which all are counted
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.inventory_level (
    product_id VARCHAR(64) NOT NULL,
    as_of_date DATE NOT NULL,
    on_hand BIGINT NOT NULL,
    sold_units BIGINT NOT NULL,
    sold_last_28_days BIGINT NOT NULL,
    sold_28_days_before BIGINT NOT NULL,
    sales_trend DECIMAL(18, 4),
    days_of_cover DECIMAL(18, 1),
    stock_out_days BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    PRIMARY KEY (product_id)
)
