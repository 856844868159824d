-- grain: customers of purchases that were corrected, who may have none left; merge.sql derives the others again
-- source: replaced
-- idempotent: yes
-- re-run: after a commit replaced is empty, so nothing
DELETE FROM core.dim_customer
WHERE customer_key IN (SELECT customer_key FROM replaced)
