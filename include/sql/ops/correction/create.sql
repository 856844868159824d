-- grain: one event whose row in core a batch replaced by a higher version
-- source: written by the load of the batch, in its transaction
-- idempotent: the corrections of a batch are inserted once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.correction (
    batch_id VARCHAR(128) NOT NULL,
    feed VARCHAR(64) NOT NULL,
    event_id VARCHAR(128) NOT NULL,
    event_version INTEGER NOT NULL,
    replaced_version INTEGER NOT NULL,
    replaced_time TIMESTAMP NOT NULL,
    corrected_at TIMESTAMP NOT NULL
)
SORTKEY (feed, corrected_at)
