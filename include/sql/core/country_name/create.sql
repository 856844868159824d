-- grain: one way to write the name of a country, in lower case
-- source: seed.sql
-- idempotent: yes
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.country_name (
    name VARCHAR(128) NOT NULL,
    iso_code VARCHAR(2) NOT NULL,
    region VARCHAR(64) NOT NULL,
    PRIMARY KEY (name)
)
DISTSTYLE ALL
