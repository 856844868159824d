-- grain: one raw object of the batch
-- source: none
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew
CREATE TEMPORARY TABLE batch_object_staged (LIKE ops.batch_object)
