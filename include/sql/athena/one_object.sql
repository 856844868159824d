-- grain: one event
-- source: one Parquet object, in place: what S3 Select was for
-- idempotent: reads only
-- re-run: the same rows. Parameters: the day and the s3:// URL of the object. Reads that object alone
SELECT *
FROM clean_feed_online_retail
WHERE dt = ? AND "$path" = ?
