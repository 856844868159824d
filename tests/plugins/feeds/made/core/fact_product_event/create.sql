-- grain: one product movement, one row per event_id
-- source: staging.product_events
-- idempotent: merge.sql inserts only event ids that are not there
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.fact_product_event (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER DEFAULT 1 NOT NULL,
    product_id VARCHAR(64) NOT NULL DISTKEY,
    quantity INTEGER NOT NULL,
    price DECIMAL(12, 2) NOT NULL,
    movement VARCHAR(16) NOT NULL,
    units INTEGER DEFAULT 0 NOT NULL,
    stock_change INTEGER DEFAULT 0 NOT NULL,
    extra SUPER,
    PRIMARY KEY (event_id)
)
SORTKEY (event_time)
