-- grain: one event of the day that came by the stream, and that Firehose did not deliver
-- source: day_staged, core.firehose_transactions; only objects that are old enough, and young enough to be still there
-- idempotent: reads only
-- re-run: what is still missing
SELECT staged.event_id
FROM day_staged AS staged
LEFT JOIN core.firehose_transactions AS delivered
    ON staged.event_id = delivered.event_id AND delivered.arrival_time >= CAST(:first_hour AS TIMESTAMP)
WHERE delivered.event_id IS NULL
    AND staged.source_object NOT LIKE '%/landed-%'
    AND staged.source_object > :first_key
    AND staged.source_object < :last_key
ORDER BY staged.event_id
LIMIT 10000
