-- grain: one reason of one rejected event of the batch
-- source: none
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew
CREATE TEMPORARY TABLE quarantine_staged (LIKE ops.quarantine_reason)
