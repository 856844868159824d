-- grain: one row: how many COPY jobs have the name, 0 or 1
-- source: sys_copy_job
-- idempotent: a query
-- re-run: reads again
SELECT COUNT(*) AS jobs
FROM sys_copy_job
WHERE job_name = 'firehose_transactions'
