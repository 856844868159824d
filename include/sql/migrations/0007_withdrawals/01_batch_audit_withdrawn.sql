-- grain: one committed batch
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing
ALTER TABLE ops.batch_audit ADD COLUMN withdrawn BIGINT DEFAULT 0 NOT NULL
