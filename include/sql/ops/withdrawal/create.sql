-- grain: one version of an event that took it out of core
-- source: written by the load of the withdrawal, in its transaction; rows are only ever inserted
-- idempotent: a version of an event is inserted once
-- re-run: creates nothing twice. An event is in core in its highest version, or it is here, and core has no row of it
CREATE TABLE IF NOT EXISTS ops.withdrawal (
    feed VARCHAR(64) NOT NULL,
    event_id VARCHAR(128) NOT NULL,
    event_key BIGINT NOT NULL DISTKEY,
    event_version INTEGER NOT NULL,
    event_time TIMESTAMP NOT NULL,
    landed_at TIMESTAMP NOT NULL,
    batch_id VARCHAR(128) NOT NULL,
    withdrawn_at TIMESTAMP NOT NULL
)
SORTKEY (feed, event_key)
