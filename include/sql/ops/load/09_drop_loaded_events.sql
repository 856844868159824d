-- grain: events of the batch that core has in the same or a higher version, counted as duplicates in the audit
-- source: staging and the feed's events in core
-- idempotent: yes
-- re-run: after a commit, all of the batch
DELETE FROM {staging}
USING {fact}
WHERE {staging}.event_id = {fact}.event_id
