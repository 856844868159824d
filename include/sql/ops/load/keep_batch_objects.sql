-- grain: one raw object of the batch
-- source: batch_object_staged
-- idempotent: the objects of a batch are inserted once
-- re-run: inserts nothing
INSERT INTO ops.batch_object (batch_id, feed, object_key, etag, accepted, clean, quarantined, duplicates)
SELECT batch_id, feed, object_key, etag, accepted, clean, quarantined, duplicates
FROM batch_object_staged
WHERE batch_id NOT IN (SELECT batch_id FROM batch_committed)
