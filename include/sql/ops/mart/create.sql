-- grain: one mart and one of the feeds or marts that it is made of
-- source: ecommerce_elt.marts.builds.MARTS
-- idempotent: register_mart writes a pair once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.mart (
    mart VARCHAR(128) NOT NULL,
    source VARCHAR(128) NOT NULL,
    PRIMARY KEY (mart, source)
)
DISTSTYLE ALL
