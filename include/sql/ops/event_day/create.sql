-- grain: one version of an event that a load brought into core, and the day under which core had it
-- source: the load of the batch, in its transaction; include/sql/migrations/0003_event_days for what was loaded before
-- idempotent: a row too many widens the days that a load looks at, and changes nothing else
-- re-run: creates nothing twice. event_key: 48 bits of the MD5 of the event id; ids that share one are looked up by day
CREATE TABLE IF NOT EXISTS ops.event_day (
    event_key BIGINT NOT NULL DISTKEY,
    event_date DATE NOT NULL
)
SORTKEY (event_date)
