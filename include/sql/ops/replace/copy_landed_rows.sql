-- grain: one clean event of the landed file
-- source: the file's rows, cleaned once more for this
-- idempotent: into an empty temporary table
-- re-run: copies the same files
COPY landed_row
FROM '{copy_manifest}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
MANIFEST
