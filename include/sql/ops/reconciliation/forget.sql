-- grain: one hour of arrival of one feed
-- source: none
-- idempotent: yes; the row is inserted again in the same transaction
-- re-run: deletes the row that it made
DELETE FROM ops.reconciliation
WHERE feed = :feed AND hour_start = CAST(:hour_start AS TIMESTAMP)
