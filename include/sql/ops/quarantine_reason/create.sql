-- grain: one reason of one rejected event of a batch
-- source: what the cleaning wrote beside the batch's manifest
-- idempotent: the reasons of a batch are inserted once
-- re-run: creates nothing twice. No value of an event is in it
CREATE TABLE IF NOT EXISTS ops.quarantine_reason (
    feed VARCHAR(64) NOT NULL,
    event_id VARCHAR(128) NOT NULL,
    event_version INTEGER DEFAULT 1 NOT NULL,
    batch_id VARCHAR(128) NOT NULL,
    stage VARCHAR(32) NOT NULL,
    event_time TIMESTAMP,
    column_name VARCHAR(128) NOT NULL,
    rule VARCHAR(32) NOT NULL,
    expected VARCHAR(1024) NOT NULL,
    source_object VARCHAR(1024) NOT NULL,
    source_line INTEGER NOT NULL,
    quarantined_at TIMESTAMP
)
SORTKEY (feed, event_id)
