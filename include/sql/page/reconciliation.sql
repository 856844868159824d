-- grain: one feed; '*' is the stream as a whole
-- source: ops.reconciliation, ops.reconciled_day
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    hours.feed,
    hours.sealed_until,
    hours.waiting,
    days.days,
    COALESCE(hours.difference, days.difference) AS difference,
    DATEDIFF(second, hours.counted_at, GETDATE()) AS counted_seconds
FROM (
    SELECT
        feed,
        MAX(CASE WHEN is_sealed THEN hour_start END) AS sealed_until,
        SUM(waiting) AS waiting,
        MAX(difference) AS difference,
        MAX(counted_at) AS counted_at
    FROM ops.reconciliation
    WHERE hour_start >= DATEADD(day, -8, GETDATE())
    GROUP BY feed
) AS hours
LEFT JOIN (
    SELECT feed, COUNT(*) AS days, MAX(difference) AS difference
    FROM ops.reconciled_day
    GROUP BY feed
) AS days ON hours.feed = days.feed
WHERE :feed = 'all' OR hours.feed = :feed
ORDER BY hours.feed
LIMIT 50
