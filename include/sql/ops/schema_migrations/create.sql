-- grain: one migration that is finished
-- source: include/sql/migrations
-- idempotent: record.sql writes a migration once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.schema_migrations (
    migration VARCHAR(128) NOT NULL,
    digest VARCHAR(16) NOT NULL,
    applied_at TIMESTAMP NOT NULL,
    PRIMARY KEY (migration)
)
