-- grain: one country with an invoice line on a day whose events changed
-- source: core.fact_invoice_line, core.country_name
-- idempotent: derived from all invoice lines of the country, so the order of arrival does not matter
-- re-run: the same rows
INSERT INTO staged
WITH touched AS (
    SELECT DISTINCT country
    FROM core.fact_invoice_line
    WHERE event_time >= :from_day
        AND event_time < :to_day
        AND CAST(event_time AS DATE) IN (SELECT event_date FROM build_date)
)
SELECT
    line.country,
    MAX(known.iso_code),
    COALESCE(MAX(known.region), 'unknown'),
    MIN(line.event_time),
    MAX(line.event_time)
FROM core.fact_invoice_line AS line
INNER JOIN touched ON line.country = touched.country
LEFT JOIN core.country_name AS known ON LOWER(line.country) = known.name
GROUP BY line.country
