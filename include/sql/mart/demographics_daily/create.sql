-- grain: one day, age group, gender and state with purchases
-- source: core.fact_purchase
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.demographics_daily (
    period_start DATE NOT NULL,
    age_group VARCHAR(8) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    state VARCHAR(8) NOT NULL,
    purchases BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    PRIMARY KEY (period_start, age_group, gender, state)
)
SORTKEY (period_start)
