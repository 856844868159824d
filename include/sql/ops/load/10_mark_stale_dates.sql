-- grain: one day with new events of the batch, and one mart that is made of the feed
-- source: staging, from which the events that core has are already deleted
-- idempotent: yes
-- re-run: after a commit staging is empty, so nothing
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT DISTINCT registered.mart, CAST(staged.event_time AS DATE), batch.batch_id
FROM {staging} AS staged
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
INNER JOIN ops.mart AS registered ON batch.feed = registered.source
