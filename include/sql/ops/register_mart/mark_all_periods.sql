-- grain: one period of the mart
-- source: the mart; a period without events any more has no day in core to mark
-- idempotent: more rows for a day change nothing
-- re-run: marks the same days again
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT DISTINCT :mart, period_start, 'all days'
FROM {table}
