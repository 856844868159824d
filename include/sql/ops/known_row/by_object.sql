-- grain: one raw object of the landed files with events that core does not have by their ids
-- source: fresh_row
-- idempotent: reads only
-- re-run: the same answer
SELECT
    source_object,
    SUM(is_known) AS known,
    SUM(CASE WHEN is_known = 0 AND has_known_entity = 1 THEN 1 ELSE 0 END) AS beside_known
FROM fresh_row
GROUP BY source_object
