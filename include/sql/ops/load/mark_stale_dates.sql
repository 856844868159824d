-- grain: one day with new, corrected or replaced events, and one mart that is made of the feed
-- source: staging, from which the events that core has are already deleted; replaced
-- idempotent: yes
-- re-run: after a commit staging is empty, so nothing
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT DISTINCT registered.mart, changed.event_date, batch.batch_id
FROM (
    SELECT CAST(event_time AS DATE) AS event_date FROM {staging}
    UNION
    SELECT CAST(event_time AS DATE) AS event_date FROM replaced
) AS changed
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
INNER JOIN ops.mart AS registered ON batch.feed = registered.source
