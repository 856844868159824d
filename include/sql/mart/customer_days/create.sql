-- grain: one day and known customer with invoice lines
-- source: core.sales_line
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.customer_days (
    period_start DATE NOT NULL,
    customer_id VARCHAR(64) NOT NULL,
    invoices BIGINT NOT NULL,
    units BIGINT NOT NULL,
    gross_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (period_start, customer_id)
)
SORTKEY (period_start)
