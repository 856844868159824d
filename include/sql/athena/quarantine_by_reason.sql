-- grain: one reason of one feed and arrival day
-- source: the crawled table quarantine
-- idempotent: reads only
-- re-run: the same rows, and what was quarantined since. Reads the last 30 days of arrival
SELECT
    feed,
    dt AS arrived_on,
    reason,
    COUNT(*) AS events,
    MIN(source_object) AS an_object
FROM quarantine
CROSS JOIN UNNEST(TRANSFORM(reasons, r -> r.column_name || ': ' || r.rule || ', expected ' || r.expected)) AS t (reason)
WHERE dt >= CAST(CURRENT_DATE - INTERVAL '30' DAY AS VARCHAR)
GROUP BY feed, dt, reason
ORDER BY events DESC
