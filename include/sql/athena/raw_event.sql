-- grain: one event as it was sent
-- source: raw objects of one arrival day; personal data, so for those who may read raw/
-- idempotent: reads only
-- re-run: the same rows. Parameters: the arrival day and the event id
SELECT
    event_id,
    event_time,
    sent_at,
    data,
    "$path" AS raw_object
FROM raw_feed_online_retail
WHERE dt = ? AND event_id = ?
