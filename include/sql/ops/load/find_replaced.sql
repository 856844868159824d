-- grain: one row of core that an event of the batch replaces, because its version is higher
-- source: staging and the feed's events in core, of the times that matched has
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: after a commit none, because core has the versions of the batch or higher ones
CREATE TEMPORARY TABLE replaced AS
SELECT fact.*
FROM {fact} AS fact
INNER JOIN {staging} AS staged ON fact.event_id = staged.event_id
WHERE fact.event_version < staged.event_version
    AND fact.event_time >= (SELECT MIN(event_time) FROM matched)
    AND fact.event_time <= (SELECT MAX(event_time) FROM matched)
