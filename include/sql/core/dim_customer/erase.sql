-- grain: one customer
-- source: none
-- idempotent: yes
-- re-run: finds no such customer
DELETE FROM core.dim_customer
WHERE customer_key = :customer_id
