-- grain: one mart
-- source: its builds: which one has claimed it, and which one was published last
-- idempotent: claim and publication overwrite the row
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.mart_build (
    mart VARCHAR(128) NOT NULL,
    build_id VARCHAR(128) NOT NULL,
    published_build_id VARCHAR(128),
    published_at TIMESTAMP,
    row_count BIGINT,
    PRIMARY KEY (mart)
)
DISTSTYLE ALL
