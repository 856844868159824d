-- grain: one day and product with movements
-- source: core.fact_product_event
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.product_movements_daily (
    period_start DATE NOT NULL,
    product_id VARCHAR(64) NOT NULL,
    restocked_units BIGINT NOT NULL,
    sold_units BIGINT NOT NULL,
    sold_amount DECIMAL(18, 2) NOT NULL,
    returned_units BIGINT DEFAULT 0 NOT NULL,
    adjusted_units BIGINT DEFAULT 0 NOT NULL,
    stock_change BIGINT DEFAULT 0 NOT NULL,
    returned_amount DECIMAL(18, 2) DEFAULT 0 NOT NULL,
    PRIMARY KEY (period_start, product_id)
)
SORTKEY (period_start)
