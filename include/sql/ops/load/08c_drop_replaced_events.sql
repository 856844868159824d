-- grain: rows of core that the batch replaces; merge.sql inserts their events again, as any other
-- source: replaced
-- idempotent: yes
-- re-run: after a commit replaced is empty, so nothing
DELETE FROM {fact}
USING replaced
WHERE {fact}.event_id = replaced.event_id
