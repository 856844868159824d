-- grain: one line of an invoice, one row per event_id
-- source: staging.online_retail
-- idempotent: merge.sql inserts only event ids that are not there
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.fact_invoice_line (
    event_id VARCHAR(128) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    event_version INTEGER DEFAULT 1 NOT NULL,
    invoice_no VARCHAR(32) NOT NULL DISTKEY,
    stock_code VARCHAR(64) NOT NULL,
    description VARCHAR(1024),
    quantity INTEGER NOT NULL,
    unit_price DECIMAL(12, 3) NOT NULL,
    amount DECIMAL(18, 3) NOT NULL,
    customer_id VARCHAR(64) NOT NULL,
    country VARCHAR(128) NOT NULL,
    line_type VARCHAR(16) NOT NULL,
    is_zero_price BOOLEAN NOT NULL,
    extra SUPER,
    PRIMARY KEY (event_id)
)
SORTKEY (event_time)
