-- grain: one product of a feed, or other item that can be on an order or in the stock room
-- source: mart.product_days
-- idempotent: each row is derived from all days of the product
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.dim_product (
    feed VARCHAR(64) NOT NULL,
    product_id VARCHAR(512) NOT NULL,
    description VARCHAR(1024),
    is_product BOOLEAN NOT NULL,
    last_price DECIMAL(18, 3),
    first_seen_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    PRIMARY KEY (feed, product_id)
)
DISTSTYLE ALL
SORTKEY (product_id)
