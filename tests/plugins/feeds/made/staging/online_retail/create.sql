-- grain: one event of the batch that is being loaded
-- source: Parquet of one batch, columns in the order of the clean SQL of online_retail
-- idempotent: emptied by the transaction that fills it; its lock serialises the loads of the feed
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS staging.online_retail (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER NOT NULL,
    invoice_no VARCHAR(32) NOT NULL,
    stock_code VARCHAR(64) NOT NULL,
    description VARCHAR(1024),
    quantity INTEGER NOT NULL,
    unit_price DECIMAL(12, 3) NOT NULL,
    amount DECIMAL(18, 3) NOT NULL,
    customer_id VARCHAR(64) NOT NULL,
    country VARCHAR(128) NOT NULL,
    line_type VARCHAR(16) NOT NULL,
    is_zero_price BOOLEAN NOT NULL,
    extra VARCHAR(65535),
    source_object VARCHAR(1024) NOT NULL,
    source_line INTEGER NOT NULL
)
