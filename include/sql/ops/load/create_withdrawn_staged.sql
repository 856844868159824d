-- grain: one event that the batch takes out
-- source: none
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew. It stays empty unless the batch has withdrawals
CREATE TEMPORARY TABLE withdrawn_staged (
    event_id VARCHAR(128) NOT NULL,
    event_version INTEGER NOT NULL,
    event_time TIMESTAMP NOT NULL,
    source_object VARCHAR(1024) NOT NULL,
    landed_at TIMESTAMP NOT NULL
)
