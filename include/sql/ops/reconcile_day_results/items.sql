-- grain: one event of the day that came by the stream, of a sample
-- source: day_staged; ids are random, so that the first ones by id are a sample
-- idempotent: reads only
-- re-run: the same
SELECT event_id, invoice_no, stock_code
FROM day_staged
WHERE source_object NOT LIKE '%/landed-%'
    AND source_object > :first_key
    AND source_object < :last_key
ORDER BY event_id
LIMIT 500
