-- grain: one reason of one rejected event
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE ops.quarantine_reason ADD COLUMN event_version INTEGER DEFAULT 1 NOT NULL
