-- grain: events of the batch that core has in the same or a higher version, counted as duplicates in the audit
-- source: matched
-- idempotent: yes
-- re-run: after a commit, all of the batch
DELETE FROM {staging}
USING matched
WHERE {staging}.event_id = matched.event_id
    AND {staging}.event_version <= matched.event_version
