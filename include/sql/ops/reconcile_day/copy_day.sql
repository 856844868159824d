-- grain: one event of the day in the lake
-- source: the files that the day's list names
-- idempotent: into an empty temporary table
-- re-run: copies the same files
COPY day_staged
FROM '{copy_manifest}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
MANIFEST
