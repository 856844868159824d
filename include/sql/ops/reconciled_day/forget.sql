-- grain: one day of a feed's events
-- source: none
-- idempotent: yes; the row is inserted again in the same transaction
-- re-run: deletes the row that it made
DELETE FROM ops.reconciled_day
WHERE feed = :feed AND event_date = CAST(:event_date AS DATE)
