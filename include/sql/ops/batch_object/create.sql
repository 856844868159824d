-- grain: one raw object of a committed batch
-- source: the counts that the cleaning wrote beside the batch's manifest
-- idempotent: insert.sql writes the objects of a batch once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.batch_object (
    batch_id VARCHAR(128) NOT NULL,
    feed VARCHAR(64) NOT NULL,
    object_key VARCHAR(1024) NOT NULL,
    etag VARCHAR(64) NOT NULL,
    accepted BIGINT NOT NULL,
    clean BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicates BIGINT NOT NULL
)
SORTKEY (feed, object_key)
