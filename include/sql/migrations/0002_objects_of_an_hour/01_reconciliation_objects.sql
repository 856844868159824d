-- grain: one hour of arrival of one feed
-- source: none
-- idempotent: left out where the column is there
-- re-run: changes nothing. An hour without it is counted once more
ALTER TABLE ops.reconciliation ADD COLUMN objects BIGINT
