-- grain: one event of a committed batch that core had before the batch
-- source: ops.known_event
-- idempotent: yes
-- re-run: writes the same events again
UNLOAD ('SELECT event_id FROM ops.known_event WHERE batch_id = ''{batch_id}''')
TO '{known_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
ALLOWOVERWRITE
