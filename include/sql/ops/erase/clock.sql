-- grain: one row: the warehouse's own clock in UTC
-- source: none
-- idempotent: reads only
-- re-run: the same, later
SELECT GETDATE() AS erased_at
