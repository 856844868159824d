-- grain: one clean event of the landed files
-- source: the Parquet files of all their batches, listed in one COPY manifest
-- idempotent: into an empty temporary table
-- re-run: copies the same files
COPY landed_row
FROM '{copy_manifest}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
MANIFEST
