-- grain: one raw object of the batch
-- source: the counts that the cleaning wrote beside the batch's manifest
-- idempotent: into an empty temporary table
-- re-run: copies the same file
COPY batch_object_staged
FROM '{object_counts}'
IAM_ROLE {copy_role}
FORMAT AS JSON 'auto'
