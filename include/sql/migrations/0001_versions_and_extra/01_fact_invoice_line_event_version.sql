-- grain: one line of an invoice
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE core.fact_invoice_line ADD COLUMN event_version INTEGER DEFAULT 1 NOT NULL
