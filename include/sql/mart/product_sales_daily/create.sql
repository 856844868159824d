-- grain: one day, feed, currency and product with sales; fees are no products
-- source: core.sales_line
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.product_sales_daily (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    stock_code VARCHAR(512) NOT NULL,
    units BIGINT NOT NULL,
    gross_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    invoices BIGINT NOT NULL,
    PRIMARY KEY (period_start, feed, currency, stock_code)
)
SORTKEY (period_start)
