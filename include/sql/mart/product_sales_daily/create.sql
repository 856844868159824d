-- grain: one day and product with invoice lines; fees are no products
-- source: core.sales_line
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.product_sales_daily (
    period_start DATE NOT NULL,
    stock_code VARCHAR(64) NOT NULL,
    units BIGINT NOT NULL,
    gross_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    invoices BIGINT NOT NULL,
    PRIMARY KEY (period_start, stock_code)
)
SORTKEY (period_start)
