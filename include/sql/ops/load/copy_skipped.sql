-- grain: one event that core has under another id, of the landed files to which the batch belongs
-- source: what check_known_rows unloaded beside the batch's manifest; the step is left out where there is none
-- idempotent: into an empty temporary table
-- re-run: copies the same files
COPY skipped
FROM '{known_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
