-- grain: one event that was rejected, with the reasons of the last time
-- source: ops.quarantine_reason, ops.quarantine_closed
-- idempotent: a view
-- re-run: defines the same view. state: open, replayed (core has the event now), dismissed (by a person)
CREATE OR REPLACE VIEW ops.quarantine AS
SELECT
    reason.feed,
    reason.event_id,
    reason.event_version,
    MIN(reason.stage) AS stage,
    MIN(reason.event_time) AS event_time,
    LISTAGG(reason.column_name || ': ' || reason.rule, ', ')
    WITHIN GROUP (ORDER BY reason.column_name, reason.rule) AS reasons,
    MIN(reason.source_object) AS source_object,
    MIN(reason.source_line) AS source_line,
    reason.batch_id,
    MIN(seen.first_seen_at) AS first_seen_at,
    MIN(seen.last_seen_at) AS last_seen_at,
    COALESCE(MIN(closed.state), 'open') AS state
FROM ops.quarantine_reason AS reason
INNER JOIN (
    SELECT
        feed,
        event_id,
        event_version,
        MAX(batch_id) AS batch_id,
        MIN(quarantined_at) AS first_seen_at,
        MAX(quarantined_at) AS last_seen_at
    FROM ops.quarantine_reason
    GROUP BY feed, event_id, event_version
) AS seen
    ON reason.feed = seen.feed AND reason.event_id = seen.event_id AND reason.event_version = seen.event_version
        AND reason.batch_id = seen.batch_id
LEFT JOIN ops.quarantine_closed AS closed
    ON reason.feed = closed.feed AND reason.event_id = closed.event_id AND reason.event_version = closed.event_version
GROUP BY reason.feed, reason.event_id, reason.event_version, reason.batch_id
