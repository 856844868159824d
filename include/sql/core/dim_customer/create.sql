-- grain: one customer, one row per customer_key
-- source: core.fact_purchase
-- idempotent: merge.sql derives each row from all purchases of the customer
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.dim_customer (
    customer_key VARCHAR(64) NOT NULL DISTKEY,
    age_group VARCHAR(8) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    state VARCHAR(8) NOT NULL,
    first_purchase_at TIMESTAMP NOT NULL,
    last_purchase_at TIMESTAMP NOT NULL,
    purchases BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    PRIMARY KEY (customer_key)
)
