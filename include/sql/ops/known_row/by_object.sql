-- grain: one raw object of the landed files with events that core does not have by their ids
-- source: landed_row, core_event, known_row
-- idempotent: reads only
-- re-run: the same answer
SELECT
    landed.source_object,
    SUM(CASE WHEN known_row.event_id IS NOT NULL THEN 1 ELSE 0 END) AS known,
    SUM(CASE WHEN known_row.event_id IS NULL AND met.entity IS NOT NULL THEN 1 ELSE 0 END) AS beside_known
FROM (
    SELECT event_id, MIN({key}) AS entity, MIN(source_object) AS source_object
    FROM landed_row
    GROUP BY event_id
) AS landed
LEFT JOIN core_event ON landed.event_id = core_event.event_id
LEFT JOIN known_row ON landed.event_id = known_row.event_id
LEFT JOIN (SELECT DISTINCT entity FROM core_event) AS met ON landed.entity = met.entity
WHERE core_event.event_id IS NULL
GROUP BY landed.source_object
