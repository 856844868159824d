-- grain: one migration whose statements have all run
-- source: parameters
-- idempotent: a migration that is there gets no second row
-- re-run: inserts nothing
INSERT INTO ops.schema_migrations (migration, digest, applied_at)
SELECT :migration, :digest, GETDATE()
WHERE :migration NOT IN (SELECT migration FROM ops.schema_migrations)
