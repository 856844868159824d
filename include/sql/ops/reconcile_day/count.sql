-- grain: one row: how many rows the day has in the lake and in core
-- source: day_staged, and the feed's events of the day in core
-- idempotent: a temporary table of this session
-- re-run: creates it anew
CREATE TEMPORARY TABLE day_count AS
SELECT
    (SELECT COUNT(*) FROM day_staged) AS lake_rows,
    (
        SELECT COUNT(*)
        FROM {fact}
        WHERE event_time >= CAST(:first_time AS TIMESTAMP) AND event_time < CAST(:end_time AS TIMESTAMP)
    ) AS core_rows
