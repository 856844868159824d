-- grain: one row: the last export that claimed the data set, and when it was swapped in, NULL where it is not
-- source: the claim
-- idempotent: reads only
-- re-run: the same until the next export
SELECT export_id, published_at
FROM `{claim_table}`
