-- grain: one migration that is finished
-- source: ops.schema_migrations
-- idempotent: reads only
-- re-run: the same, and what was finished since
SELECT migration, digest
FROM ops.schema_migrations
