-- grain: one event of the file that an older file's replacement took out of core
-- source: unmatched_row, ops.withdrawal
-- idempotent: reads only
-- re-run: the same in the same session
SELECT unmatched_row.event_id, unmatched_row.{key} AS replaced_value, withdrawal.event_version
FROM unmatched_row
INNER JOIN (
    SELECT event_id, MAX(event_version) AS event_version, MAX(landed_at) AS landed_at
    FROM ops.withdrawal
    WHERE feed = :feed
    GROUP BY event_id
) AS withdrawal ON unmatched_row.event_id = withdrawal.event_id
WHERE unmatched_row.is_other = 0
    AND unmatched_row.row_number > unmatched_row.other_rows
    AND withdrawal.landed_at < CAST(:landed_at AS TIMESTAMP)
ORDER BY unmatched_row.event_id
