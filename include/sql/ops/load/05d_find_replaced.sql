-- grain: one row of core that an event of the batch replaces, because its version is higher
-- source: staging and the feed's events in core
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: after a commit none, because core has the versions of the batch or higher ones
CREATE TEMPORARY TABLE replaced AS
SELECT fact.*
FROM {staging} AS staged
INNER JOIN {fact} AS fact ON staged.event_id = fact.event_id
WHERE fact.event_version < staged.event_version
