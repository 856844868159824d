-- grain: one invoice line as Firehose delivered it
-- source: none
-- idempotent: yes
-- re-run: finds no line of the customer
UPDATE core.firehose_transactions
SET CustomerID = NULL
WHERE CustomerID = :customer_id
