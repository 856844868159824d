-- grain: one day whose events changed after a mart was built, and the batch that changed them
-- source: the load transaction of the batch, or the publication of the mart that another is made of
-- idempotent: the rows go when the mart is published with that day
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.stale_date (
    mart VARCHAR(128) NOT NULL,
    event_date DATE NOT NULL,
    batch_id VARCHAR(128) NOT NULL
)
SORTKEY (mart, event_date)
