-- grain: one event of the feed that was taken out of core, in the version that did so last
-- source: ops.withdrawal
-- idempotent: reads only
-- re-run: the same, and what was withdrawn since
SELECT event_id, MAX(event_version) AS event_version
FROM ops.withdrawal
WHERE feed = :feed
GROUP BY event_id
