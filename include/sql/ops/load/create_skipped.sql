-- grain: one event that core has under another id, of the landed files to which the batch belongs
-- source: none
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew
CREATE TEMPORARY TABLE skipped (event_id VARCHAR(128) NOT NULL)
