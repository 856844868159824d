-- grain: one day, feed, currency and known customer with sales
-- source: core.sales_line
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.customer_days (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    customer_id VARCHAR(128) NOT NULL,
    invoices BIGINT NOT NULL,
    units BIGINT NOT NULL,
    gross_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (period_start, feed, currency, customer_id)
)
SORTKEY (period_start)
