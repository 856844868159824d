-- grain: one event that differs, and how
-- source: day_difference; a row that was altered is neither in core as the lake has it nor in the lake as core has it
-- idempotent: reads only
-- re-run: the same in the same session
SELECT
    event_id,
    CASE
        WHEN MIN(what) = 'not in core' AND MAX(what) = 'not in the lake' THEN 'altered'
        ELSE MIN(what)
    END AS what
FROM day_difference
GROUP BY event_id
ORDER BY event_id
LIMIT 10000
