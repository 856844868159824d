-- grain: one reason of which rejected events are open
-- source: ops.quarantine_reason, ops.quarantine_closed
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    reason.feed,
    reason.column_name,
    reason.rule,
    COUNT(DISTINCT reason.event_id) AS events
FROM ops.quarantine_reason AS reason
LEFT JOIN ops.quarantine_closed AS closed ON reason.feed = closed.feed AND reason.event_id = closed.event_id
WHERE closed.event_id IS NULL AND (:feed = 'all' OR reason.feed = :feed)
GROUP BY reason.feed, reason.column_name, reason.rule
ORDER BY events DESC, reason.feed, reason.column_name, reason.rule
LIMIT 10
