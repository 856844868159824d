-- grain: one day and product with movements
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE mart.product_movements_daily ADD COLUMN returned_amount DECIMAL(18, 2) DEFAULT 0 NOT NULL
