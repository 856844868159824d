-- grain: one month, product, age group and gender with purchases
-- source: core.fact_purchase
-- idempotent: build_marts replaces whole months
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.consumption_monthly (
    period_start DATE NOT NULL,
    product_name VARCHAR(512) NOT NULL,
    age_group VARCHAR(8) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    purchases BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    PRIMARY KEY (period_start, product_name, age_group, gender)
)
SORTKEY (period_start)
