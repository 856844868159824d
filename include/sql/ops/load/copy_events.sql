-- grain: one clean event of the batch
-- source: the batch's Parquet files, listed in its COPY manifest
-- idempotent: staging was emptied by the same transaction
-- re-run: copies the same files
COPY {staging}
FROM '{copy_manifest}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
MANIFEST
