-- grain: one known customer of a feed who bought at least once in a currency
-- source: mart.customer_days
-- idempotent: build_marts replaces the whole, because each customer is ranked among all
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.customer_behaviour (
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    customer_id VARCHAR(128) NOT NULL,
    first_purchase_date DATE NOT NULL,
    last_purchase_date DATE NOT NULL,
    cohort_month DATE NOT NULL,
    purchase_days BIGINT NOT NULL,
    invoices BIGINT NOT NULL,
    units BIGINT NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    is_repeat BOOLEAN NOT NULL,
    days_between_purchases DECIMAL(18, 2),
    recency_days BIGINT NOT NULL,
    recency_score BIGINT NOT NULL,
    frequency_score BIGINT NOT NULL,
    monetary_score BIGINT NOT NULL,
    segment VARCHAR(32) NOT NULL,
    PRIMARY KEY (feed, currency, customer_id)
)
