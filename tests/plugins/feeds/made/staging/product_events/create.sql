-- grain: one event of the batch that is being loaded
-- source: Parquet of one batch, columns in the order of the clean SQL of product_events
-- idempotent: emptied by the transaction that fills it; its lock serialises the loads of the feed
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS staging.product_events (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER NOT NULL,
    product_id VARCHAR(64) NOT NULL,
    quantity INTEGER NOT NULL,
    price DECIMAL(12, 2) NOT NULL,
    movement VARCHAR(16) NOT NULL,
    units INTEGER NOT NULL,
    stock_change INTEGER NOT NULL,
    extra VARCHAR(65535),
    source_object VARCHAR(1024) NOT NULL,
    source_line INTEGER NOT NULL
)
