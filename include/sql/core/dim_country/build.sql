-- grain: one country with a sale on a day whose events changed
-- source: core.sales_line, core.country_name
-- idempotent: derived from all sales of the country, so the order of arrival does not matter
-- re-run: the same rows
INSERT INTO staged
WITH touched AS (
    SELECT DISTINCT country
    FROM core.sales_line
    WHERE event_time >= :from_day
        AND event_time < :to_day
        AND sale_date IN (SELECT event_date FROM build_date)
)
SELECT
    line.country,
    COALESCE(MAX(known.iso_code), MAX(coded.iso_code)),
    COALESCE(MAX(known.region), MAX(coded.region), 'unknown'),
    MIN(line.event_time),
    MAX(line.event_time)
FROM core.sales_line AS line
INNER JOIN touched ON line.country = touched.country
LEFT JOIN core.country_name AS known ON LOWER(line.country) = known.name
LEFT JOIN (SELECT DISTINCT iso_code, region FROM core.country_name) AS coded ON UPPER(line.country) = coded.iso_code
GROUP BY line.country
