-- grain: one row of core that the batch takes out
-- source: withdrawn_staged and the feed's events in core, of the times that matched has
-- idempotent: into a temporary table of this session
-- re-run: after a commit none, because core has no row of these events in a lower version
INSERT INTO replaced
SELECT fact.*
FROM {fact} AS fact
INNER JOIN withdrawn_staged AS staged ON fact.event_id = staged.event_id
WHERE fact.event_version < staged.event_version
    AND fact.event_time >= (SELECT MIN(event_time) FROM matched)
    AND fact.event_time <= (SELECT MAX(event_time) FROM matched)
