-- grain: one reason of one rejected event of the batch
-- source: what the cleaning wrote beside the batch's manifest; the step is left out where nothing was rejected
-- idempotent: into an empty temporary table
-- re-run: copies the same files
COPY quarantine_staged
FROM '{quarantine_rows}'
IAM_ROLE {copy_role}
FORMAT AS JSON 'auto'
