-- grain: one of the products of a feed that sold best on a day in a currency
-- source: mart.product_sales_daily
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.best_sellers_daily (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    revenue_rank BIGINT NOT NULL,
    unit_rank BIGINT NOT NULL,
    stock_code VARCHAR(512) NOT NULL,
    units BIGINT NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (period_start, feed, currency, stock_code)
)
SORTKEY (period_start)
