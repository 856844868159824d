-- grain: one product movement
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE core.fact_product_event ADD COLUMN units INTEGER DEFAULT 0 NOT NULL
