-- grain: one value whose rows in core the file replaces
-- source: replacement_staged
-- idempotent: a file replaces a value once
-- re-run: inserts nothing
INSERT INTO ops.replacement (
    feed, column_name, replaced_value, landed_at, file_key, etag, withdrawn, restored, replaced_at
)
SELECT
    staged.feed,
    staged.column_name,
    staged.replaced_value,
    staged.landed_at,
    staged.file_key,
    staged.etag,
    staged.withdrawn,
    staged.restored,
    GETDATE()
FROM replacement_staged AS staged
LEFT JOIN ops.replacement AS kept
    ON staged.feed = kept.feed AND staged.column_name = kept.column_name
        AND staged.replaced_value = kept.replaced_value AND staged.landed_at = kept.landed_at
        AND staged.file_key = kept.file_key AND staged.etag = kept.etag
WHERE kept.feed IS NULL
