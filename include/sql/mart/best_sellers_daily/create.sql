-- grain: one of the products that sold best on a day
-- source: mart.product_sales_daily
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.best_sellers_daily (
    period_start DATE NOT NULL,
    revenue_rank BIGINT NOT NULL,
    unit_rank BIGINT NOT NULL,
    stock_code VARCHAR(64) NOT NULL,
    units BIGINT NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (period_start, stock_code)
)
SORTKEY (period_start)
