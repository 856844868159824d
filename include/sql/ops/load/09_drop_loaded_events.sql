-- grain: events of the batch that core already has, counted as duplicates in the audit
-- source: staging and the feed's events in core
-- idempotent: yes
-- re-run: after a commit, all of the batch
DELETE FROM {staging}
USING {fact}
WHERE {staging}.event_id = {fact}.event_id
