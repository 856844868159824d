-- grain: one event of the batch that was taken out of core, and that core has no row of
-- source: ops.withdrawal, batch_event
-- idempotent: what matched has is not added
-- re-run: adds the same. From here on core has these events in the version that took them out: only a higher one brings them back
INSERT INTO matched (event_id, event_version, event_time)
SELECT withdrawal.event_id, MAX(withdrawal.event_version), MAX(withdrawal.event_time)
FROM ops.withdrawal AS withdrawal
INNER JOIN batch_event
    ON withdrawal.event_key = batch_event.event_key AND withdrawal.event_id = batch_event.event_id
LEFT JOIN matched ON withdrawal.event_id = matched.event_id
WHERE withdrawal.feed IN (SELECT feed FROM batch_object_staged)
    AND matched.event_id IS NULL
GROUP BY withdrawal.event_id
