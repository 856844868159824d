-- grain: one rejected event that needs no more attention
-- source: the load that brought the event into core (replayed), or a person (dismissed)
-- idempotent: an event is closed once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.quarantine_closed (
    feed VARCHAR(64) NOT NULL,
    event_id VARCHAR(128) NOT NULL,
    event_version INTEGER DEFAULT 1 NOT NULL,
    state VARCHAR(16) NOT NULL,
    batch_id VARCHAR(128) NOT NULL,
    closed_at TIMESTAMP NOT NULL
)
SORTKEY (feed, event_id)
