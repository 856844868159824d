-- grain: one event that the batch takes out
-- source: withdrawn_staged
-- idempotent: into a temporary table of this session
-- re-run: adds the same
INSERT INTO batch_event (event_id, event_key, event_date)
SELECT event_id, STRTOL(LEFT(MD5(event_id), 12), 16), CAST(event_time AS DATE)
FROM withdrawn_staged
