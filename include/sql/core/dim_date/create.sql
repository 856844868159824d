-- grain: one day
-- source: the calendar, and the days of events outside of it
-- idempotent: build.sql gives only days that are missing
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.dim_date (
    date_day DATE NOT NULL,
    day_start DATE NOT NULL,
    week_start DATE NOT NULL,
    month_start DATE NOT NULL,
    quarter_start DATE NOT NULL,
    season_start DATE NOT NULL,
    year_number INTEGER NOT NULL,
    quarter_number INTEGER NOT NULL,
    month_number INTEGER NOT NULL,
    day_of_week INTEGER NOT NULL,
    is_weekend BOOLEAN NOT NULL,
    season VARCHAR(8) NOT NULL,
    PRIMARY KEY (date_day)
)
DISTSTYLE ALL
SORTKEY (date_day)
