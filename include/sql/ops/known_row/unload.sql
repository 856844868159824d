-- grain: one event of the landed files that core has under another id
-- source: known_row
-- idempotent: yes
-- re-run: writes the same events again
UNLOAD ('SELECT event_id FROM known_row')
TO '{known_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
ALLOWOVERWRITE
