-- grain: one check of one build of a mart
-- source: checks.yaml of the mart
-- idempotent: a build's results are told apart by its id
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.check_results (
    build_id VARCHAR(128) NOT NULL,
    mart VARCHAR(128) NOT NULL,
    check_name VARCHAR(256) NOT NULL,
    severity VARCHAR(8) NOT NULL,
    failed_rows BIGINT NOT NULL,
    detail VARCHAR(2048),
    checked_at TIMESTAMP NOT NULL
)
SORTKEY (checked_at)
