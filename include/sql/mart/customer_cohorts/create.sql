-- grain: one month of first purchase in a feed and currency, and one number of months since
-- source: mart.customer_days
-- idempotent: build_marts replaces the whole, because a late first purchase moves a customer to another cohort
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.customer_cohorts (
    cohort_month DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    months_since_first BIGINT NOT NULL,
    cohort_customers BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    retention DECIMAL(18, 4) NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    PRIMARY KEY (cohort_month, feed, currency, months_since_first)
)
SORTKEY (cohort_month)
