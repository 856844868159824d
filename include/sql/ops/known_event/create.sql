-- grain: one event of a batch that core had before the batch
-- source: written by the load of the batch, in its transaction
-- idempotent: the events of a batch are inserted once
-- re-run: creates nothing twice. The lake leaves these events out of the batch's files; kept for some days
CREATE TABLE IF NOT EXISTS ops.known_event (
    batch_id VARCHAR(128) NOT NULL,
    event_id VARCHAR(128) NOT NULL
)
SORTKEY (batch_id)
