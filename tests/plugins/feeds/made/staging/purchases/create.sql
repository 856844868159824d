-- grain: one event of the batch that is being loaded
-- source: Parquet of one batch, columns in the order of the clean SQL of purchases
-- idempotent: emptied by the transaction that fills it; its lock serialises the loads of the feed
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS staging.purchases (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER NOT NULL,
    customer_key VARCHAR(64) NOT NULL,
    age_group VARCHAR(8) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    state VARCHAR(8) NOT NULL,
    product_name VARCHAR(512) NOT NULL,
    amount DECIMAL(12, 2) NOT NULL,
    source_object VARCHAR(1024) NOT NULL,
    source_line INTEGER NOT NULL
)
