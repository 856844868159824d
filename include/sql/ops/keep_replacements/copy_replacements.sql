-- grain: one value whose rows in core the file replaces
-- source: what replace_rows wrote beside the plan
-- idempotent: into an empty temporary table
-- re-run: copies the same file
COPY replacement_staged
FROM '{replaced_values}'
IAM_ROLE {copy_role}
FORMAT AS JSON 'auto'
