-- grain: the batch, if it is committed
-- source: ops.batch_object in the range of the batch's keys, which is all that its sort key lets a load read
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew. What follows writes nothing of a batch that is in it
CREATE TEMPORARY TABLE batch_committed AS
SELECT DISTINCT batch_id
FROM ops.batch_object
WHERE feed IN (SELECT feed FROM batch_object_staged)
    AND object_key >= (SELECT MIN(object_key) FROM batch_object_staged)
    AND object_key <= (SELECT MAX(object_key) FROM batch_object_staged)
