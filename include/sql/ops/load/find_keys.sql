-- grain: one event of the batch, clean or rejected
-- source: staging, quarantine_staged
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew. Distributed as ops.event_day is, so that their join moves no row
CREATE TEMPORARY TABLE batch_event
DISTKEY (event_key)
AS
SELECT
    event_id,
    STRTOL(LEFT(MD5(event_id), 12), 16) AS event_key,
    CAST(event_time AS DATE) AS event_date
FROM {staging}
UNION
SELECT event_id, STRTOL(LEFT(MD5(event_id), 12), 16), CAST(NULL AS DATE)
FROM quarantine_staged
