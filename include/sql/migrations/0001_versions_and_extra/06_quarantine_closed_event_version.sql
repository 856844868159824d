-- grain: one rejected event that is closed
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE ops.quarantine_closed ADD COLUMN event_version INTEGER DEFAULT 1 NOT NULL
