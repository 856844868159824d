-- grain: one week and product of a feed that was sold in a currency in the 12 weeks before
-- source: feature_line; a week's features read the weeks before it alone, its labels it and the 3 after
-- idempotent: a pure function of the lines
-- re-run: never in one session
INSERT INTO feature_product_week
WITH weekly AS (
    SELECT
        feed,
        currency,
        stock_code,
        week_start,
        SUM(sold_units) AS sold_units,
        SUM(returned_units) AS returned_units,
        CAST(SUM(gross_revenue) AS DECIMAL(18, 3)) AS gross_revenue,
        COUNT(DISTINCT charged_invoice) AS invoices
    FROM feature_line
    WHERE is_product
    GROUP BY feed, currency, stock_code, week_start
),
first_sale AS (
    SELECT
        feed,
        currency,
        stock_code,
        MIN(week_start) AS first_week
    FROM weekly
    WHERE sold_units > 0
    GROUP BY feed, currency, stock_code
),
-- How many weeks after its own a week of sales is still read: 1 to 12 by features, 0 and below by labels.
distance AS (
    SELECT -3 AS weeks UNION ALL SELECT -2 UNION ALL SELECT -1 UNION ALL SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2
    UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8
    UNION ALL SELECT 9 UNION ALL SELECT 10 UNION ALL SELECT 11 UNION ALL SELECT 12
),
seen_from AS (
    SELECT
        weekly.*,
        distance.weeks,
        CAST(DATEADD(day, 7 * distance.weeks, weekly.week_start) AS DATE) AS from_week
    FROM weekly
    CROSS JOIN distance
),
gathered AS (
    SELECT
        feed,
        currency,
        stock_code,
        from_week,
        SUM(CASE WHEN weeks = 1 THEN sold_units ELSE 0 END) AS units_1_week,
        SUM(CASE WHEN weeks BETWEEN 1 AND 4 THEN sold_units ELSE 0 END) AS units_4_weeks,
        CAST(SUM(CASE WHEN weeks >= 1 THEN sold_units ELSE 0 END) AS BIGINT) AS units_12_weeks,
        SUM(CASE WHEN weeks >= 1 AND sold_units > 0 THEN 1 ELSE 0 END) AS weeks_with_sales,
        MIN(CASE WHEN weeks >= 1 AND sold_units > 0 THEN weeks END) AS weeks_since_last_sale,
        SUM(CASE WHEN weeks BETWEEN 1 AND 4 THEN invoices ELSE 0 END) AS invoices_4_weeks,
        CAST(SUM(CASE WHEN weeks >= 1 THEN gross_revenue ELSE 0 END) AS DECIMAL(18, 3)) AS revenue,
        CAST(SUM(CASE WHEN weeks >= 1 THEN returned_units ELSE 0 END) AS DECIMAL(18, 3)) AS returned_units,
        SUM(CASE WHEN weeks = 0 THEN sold_units ELSE 0 END) AS next_week,
        SUM(CASE WHEN weeks <= 0 THEN sold_units ELSE 0 END) AS next_4_weeks
    FROM seen_from
    GROUP BY feed, currency, stock_code, from_week
    HAVING SUM(CASE WHEN weeks >= 1 THEN sold_units ELSE 0 END) > 0
),
-- A week whose labels would reach into the next part is in none.
placed AS (
    SELECT
        *,
        CASE
            WHEN from_week >= CAST(:test AS DATE)
                THEN CASE WHEN DATEADD(day, 28, from_week) <= CAST(:labels_end AS DATE) THEN 'test' END
            WHEN from_week >= CAST(:validation AS DATE)
                THEN CASE WHEN DATEADD(day, 28, from_week) <= CAST(:test AS DATE) THEN 'validation' END
            WHEN DATEADD(day, 28, from_week) <= CAST(:validation AS DATE) THEN 'train'
        END AS part
    FROM gathered
    WHERE from_week >= DATEADD(day, 84, (SELECT MIN(week_start) FROM feature_line))
)
SELECT
    placed.part, placed.feed, placed.currency, placed.stock_code, placed.from_week,
    placed.units_1_week, placed.units_4_weeks, placed.units_12_weeks,
    placed.weeks_with_sales, placed.weeks_since_last_sale,
    DATEDIFF(day, first_sale.first_week, placed.from_week) / 7,
    placed.invoices_4_weeks,
    CAST(placed.revenue / placed.units_12_weeks AS DECIMAL(18, 4)),
    CAST(LEAST(placed.returned_units / placed.units_12_weeks, 1) AS DECIMAL(9, 6)),
    EXTRACT(month FROM placed.from_week),
    placed.next_week, placed.next_4_weeks
FROM placed
INNER JOIN first_sale
    ON placed.feed = first_sale.feed AND placed.currency = first_sale.currency AND placed.stock_code = first_sale.stock_code
WHERE placed.part IS NOT NULL
