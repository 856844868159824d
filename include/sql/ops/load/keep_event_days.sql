-- grain: one event that the batch brings into core, new or in a higher version
-- source: staging, from which the events that core has are already deleted
-- idempotent: yes
-- re-run: after a commit staging is empty, so nothing
INSERT INTO ops.event_day (event_key, event_date)
SELECT STRTOL(LEFT(MD5(event_id), 12), 16), CAST(event_time AS DATE)
FROM {staging}
