-- grain: one day, feed and currency with sales
-- source: core.sales_line
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.sales_daily (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    gross_revenue DECIMAL(18, 3) NOT NULL,
    cancelled_revenue DECIMAL(18, 3) NOT NULL,
    adjusted_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    invoices BIGINT NOT NULL,
    cancellations BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    units BIGINT NOT NULL,
    average_basket DECIMAL(18, 2),
    PRIMARY KEY (period_start, feed, currency)
)
SORTKEY (period_start)
