-- grain: one pair of products that were on the same orders of a feed in a month, the code that sorts first as a
-- source: core.sales_line
-- idempotent: build_marts replaces whole months
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.basket_pairs_monthly (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    stock_code_a VARCHAR(512) NOT NULL,
    stock_code_b VARCHAR(512) NOT NULL,
    invoices_together BIGINT NOT NULL,
    invoices_a BIGINT NOT NULL,
    invoices_b BIGINT NOT NULL,
    invoices BIGINT NOT NULL,
    lift DECIMAL(18, 2) NOT NULL,
    PRIMARY KEY (period_start, feed, stock_code_a, stock_code_b)
)
SORTKEY (period_start)
