-- grain: one invoice line as Firehose delivered it
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE core.firehose_transactions ADD COLUMN event_version INTEGER DEFAULT 1
