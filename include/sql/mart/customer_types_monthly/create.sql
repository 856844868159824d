-- grain: one month, feed, currency and customer type: first (purchases on the customer's first day) or repeat (on later days)
-- source: mart.customer_days
-- idempotent: build_marts replaces the whole, because a late first purchase makes others repeat
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.customer_types_monthly (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    customer_type VARCHAR(8) NOT NULL,
    customers BIGINT NOT NULL,
    invoices BIGINT NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (period_start, feed, currency, customer_type)
)
SORTKEY (period_start)
