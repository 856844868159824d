-- grain: one value whose rows in core the file replaces
-- source: none
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew
CREATE TEMPORARY TABLE replacement_staged (
    feed VARCHAR(64) NOT NULL,
    column_name VARCHAR(64) NOT NULL,
    replaced_value VARCHAR(65535) NOT NULL,
    landed_at TIMESTAMP NOT NULL,
    file_key VARCHAR(1024) NOT NULL,
    etag VARCHAR(128) NOT NULL,
    withdrawn INTEGER NOT NULL,
    restored INTEGER NOT NULL
)
