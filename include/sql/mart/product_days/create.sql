-- grain: one day, feed and product or other item with an event
-- source: core.sales_line, core.fact_product_event
-- idempotent: build_marts replaces whole days
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.product_days (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    product_id VARCHAR(512) NOT NULL,
    is_product BOOLEAN NOT NULL,
    first_seen_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    description VARCHAR(1024),
    is_priced BOOLEAN NOT NULL,
    described_at TIMESTAMP,
    described_by VARCHAR(128),
    price DECIMAL(18, 3),
    priced_at TIMESTAMP,
    priced_by VARCHAR(128),
    PRIMARY KEY (period_start, feed, product_id)
)
SORTKEY (period_start)
