-- grain: one event of a batch that an older file's replacement took out of core, and that core has no row of
-- source: ops.known_event, ops.withdrawal, the feed's events in core at the times of these
-- idempotent: reads only
-- re-run: the same, but for what came back
SELECT withdrawal.event_id, MAX(withdrawal.event_version) AS event_version
FROM ops.withdrawal AS withdrawal
INNER JOIN ops.known_event AS known ON withdrawal.event_id = known.event_id
LEFT JOIN {fact} AS fact
    ON withdrawal.event_id = fact.event_id AND withdrawal.event_time = fact.event_time
WHERE withdrawal.feed = :feed
    AND known.batch_id = :batch_id
    AND fact.event_id IS NULL
GROUP BY withdrawal.event_id
HAVING MAX(withdrawal.landed_at) < CAST(:landed_at AS TIMESTAMP)
ORDER BY withdrawal.event_id
