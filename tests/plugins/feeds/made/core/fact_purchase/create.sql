-- grain: one purchase of one customer, one row per event_id
-- source: staging.purchases
-- idempotent: merge.sql inserts only event ids that are not there
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.fact_purchase (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER DEFAULT 1 NOT NULL,
    customer_key VARCHAR(64) NOT NULL DISTKEY,
    age_group VARCHAR(8) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    state VARCHAR(8) NOT NULL,
    product_name VARCHAR(512) NOT NULL,
    amount DECIMAL(12, 2) NOT NULL,
    PRIMARY KEY (event_id)
)
SORTKEY (event_time)
