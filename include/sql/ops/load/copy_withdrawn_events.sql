-- grain: one event that the batch takes out
-- source: what the cleaning wrote beside the batch's manifest
-- idempotent: into an empty temporary table
-- re-run: copies the same file
COPY withdrawn_staged
FROM '{withdrawn_events}'
IAM_ROLE {copy_role}
FORMAT AS JSON 'auto'
