-- grain: one country as the source writes it
-- source: core.sales_line, core.country_name
-- idempotent: each row is derived from all sales of the country
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.dim_country (
    country VARCHAR(128) NOT NULL,
    iso_code VARCHAR(2),
    region VARCHAR(64) NOT NULL,
    first_seen_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    PRIMARY KEY (country)
)
DISTSTYLE ALL
