-- grain: rows of core that the batch replaces; merge.sql inserts their events again, as any other
-- source: replaced
-- idempotent: yes
-- re-run: after a commit replaced is empty, so nothing
DELETE FROM {fact}
USING replaced
WHERE {fact}.event_id = replaced.event_id
    AND {fact}.event_version = replaced.event_version
    AND {fact}.event_time >= (SELECT MIN(event_time) FROM replaced)
    AND {fact}.event_time <= (SELECT MAX(event_time) FROM replaced)
