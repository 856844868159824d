-- grain: one purchase of one customer
-- source: none
-- idempotent: yes; the values are those that the cleaning makes of an erased record
-- re-run: finds no row of the customer
UPDATE core.fact_purchase
SET customer_key = 'erased', state = 'unknown'
WHERE customer_key = :customer_id
