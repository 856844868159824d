-- grain: one day and product with movements
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE mart.product_movements_daily ADD COLUMN adjusted_units BIGINT DEFAULT 0 NOT NULL
