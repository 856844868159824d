-- grain: one committed batch
-- source: the load transaction of the batch
-- idempotent: insert.sql writes a batch id once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.batch_audit (
    batch_id VARCHAR(128) NOT NULL,
    feed VARCHAR(64) NOT NULL,
    accepted BIGINT NOT NULL,
    clean BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    corrected BIGINT DEFAULT 0 NOT NULL,
    withdrawn BIGINT DEFAULT 0 NOT NULL,
    restored BIGINT DEFAULT 0 NOT NULL,
    committed_at TIMESTAMP NOT NULL,
    PRIMARY KEY (batch_id)
)
SORTKEY (committed_at)
