-- grain: one row that the lake or core has and the other has not, or has more than once
-- source: day_staged, and the feed's events of the day in core
-- idempotent: a temporary table of this session
-- re-run: creates it anew
CREATE TEMPORARY TABLE day_difference AS
SELECT 'not in core' AS what, lacking.event_id
FROM (
    SELECT {columns} FROM day_staged
    EXCEPT
    SELECT {columns} FROM {fact} WHERE event_time >= CAST(:first_time AS TIMESTAMP) AND event_time < CAST(:end_time AS TIMESTAMP)
) AS lacking
UNION ALL
SELECT 'not in the lake' AS what, surplus.event_id
FROM (
    SELECT {columns} FROM {fact} WHERE event_time >= CAST(:first_time AS TIMESTAMP) AND event_time < CAST(:end_time AS TIMESTAMP)
    EXCEPT
    SELECT {columns} FROM day_staged
) AS surplus
UNION ALL
SELECT 'doubled in core' AS what, event_id
FROM {fact}
WHERE event_time >= CAST(:first_time AS TIMESTAMP) AND event_time < CAST(:end_time AS TIMESTAMP)
GROUP BY event_id
HAVING COUNT(*) > 1
UNION ALL
SELECT 'doubled in the lake' AS what, event_id
FROM day_staged
GROUP BY event_id
HAVING COUNT(*) > 1
