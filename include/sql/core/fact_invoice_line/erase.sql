-- grain: one line of an invoice
-- source: none
-- idempotent: yes; the line stays, as one of a customer whom the shop does not know
-- re-run: finds no line of the customer
UPDATE core.fact_invoice_line
SET customer_id = 'unknown', extra = NULL
WHERE customer_id = :customer_id
