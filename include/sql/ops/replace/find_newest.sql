-- grain: one value that the file has and that a file replaced before
-- source: ops.replacement: of each value, by the newest file
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
CREATE TEMPORARY TABLE newest AS
SELECT replaced_value, landed_at, file_key, etag, replaced_at
FROM (
    SELECT
        replaced_value,
        landed_at,
        file_key,
        etag,
        replaced_at,
        ROW_NUMBER() OVER (PARTITION BY replaced_value ORDER BY landed_at DESC, replaced_at, file_key, etag) AS place
    FROM ops.replacement
    WHERE feed = :feed AND column_name = :column_name
) AS ordered
WHERE place = 1 AND replaced_value IN (SELECT {key} FROM landed_row)
