-- grain: one known customer of a feed who bought before the cut-off in a currency
-- source: feature_line; features read lines before the cut-off alone, labels those of it and after
-- idempotent: a pure function of the lines
-- re-run: adds the rows of another cut-off
INSERT INTO feature_customer
WITH past AS (
    SELECT
        *,
        CASE WHEN charged_invoice IS NOT NULL THEN sale_date END AS purchase_date,
        CASE WHEN charged_invoice IS NOT NULL AND is_product THEN stock_code END AS product,
        sale_date >= DATEADD(day, -30, CAST(:cut_off AS DATE)) AS is_of_30_days,
        sale_date >= DATEADD(day, -90, CAST(:cut_off AS DATE)) AS is_of_90_days
    FROM feature_line
    WHERE sale_date < CAST(:cut_off AS DATE) AND customer_id IS NOT NULL
),
next_purchase AS (
    SELECT
        feed, currency, customer_id,
        MIN(sale_date) AS next_date
    FROM feature_line
    WHERE sale_date >= CAST(:cut_off AS DATE) AND charged_invoice IS NOT NULL
    GROUP BY feed, currency, customer_id
),
customer AS (
    SELECT
        feed, currency, customer_id,
        MIN(purchase_date) AS first_date,
        MAX(purchase_date) AS last_date,
        COUNT(DISTINCT purchase_date) AS purchase_days,
        COUNT(DISTINCT charged_invoice) AS invoices,
        COUNT(DISTINCT CASE WHEN is_of_30_days THEN charged_invoice END) AS invoices_30_days,
        COUNT(DISTINCT CASE WHEN is_of_90_days THEN charged_invoice END) AS invoices_90_days,
        SUM(net_revenue) AS net_revenue,
        SUM(CASE WHEN is_of_90_days THEN net_revenue ELSE 0 END) AS net_revenue_90_days,
        CAST(SUM(gross_revenue) AS DECIMAL(18, 3)) AS gross_revenue,
        CAST(SUM(cancelled_revenue) AS DECIMAL(18, 3)) AS cancelled_revenue,
        SUM(units) AS units,
        COUNT(DISTINCT product) AS different_products,
        COUNT(DISTINCT cancelled_invoice) AS cancellations
    FROM past
    GROUP BY feed, currency, customer_id
    HAVING COUNT(charged_invoice) > 0
),
located AS (
    SELECT
        feed, currency, customer_id,
        country,
        ROW_NUMBER() OVER (PARTITION BY feed, currency, customer_id ORDER BY event_time DESC, event_id DESC) AS age
    FROM past
    WHERE charged_invoice IS NOT NULL
),
common_country AS (
    SELECT feed, currency, country
    FROM located
    WHERE age = 1
    GROUP BY feed, currency, country
    HAVING COUNT(*) >= 10
)
SELECT
    :part,
    customer.feed,
    customer.currency,
    CAST(:cut_off AS DATE),
    DATEDIFF(day, customer.last_date, CAST(:cut_off AS DATE)),
    DATEDIFF(day, customer.first_date, CAST(:cut_off AS DATE)),
    customer.purchase_days,
    customer.invoices,
    customer.invoices_30_days,
    customer.invoices_90_days,
    customer.net_revenue,
    customer.net_revenue_90_days,
    CAST(customer.gross_revenue / customer.invoices AS DECIMAL(18, 3)),
    customer.units,
    customer.different_products,
    customer.cancellations,
    CASE
        WHEN customer.gross_revenue <= 0 THEN 0
        ELSE CAST(LEAST(customer.cancelled_revenue / customer.gross_revenue, 1) AS DECIMAL(9, 6))
    END,
    COALESCE(common_country.country, 'other'),
    CASE CAST(EXTRACT(quarter FROM DATEADD(month, 1, customer.first_date)) AS INTEGER) -- as in core.dim_date
        WHEN 1 THEN 'winter' WHEN 2 THEN 'spring' WHEN 3 THEN 'summer' ELSE 'autumn'
    END,
    COALESCE(next_purchase.next_date < DATEADD(day, 30, CAST(:cut_off AS DATE)), FALSE),
    CASE
        WHEN CAST(:horizon_days AS INTEGER) >= 90
            THEN COALESCE(next_purchase.next_date < DATEADD(day, 90, CAST(:cut_off AS DATE)), FALSE)
    END
FROM customer
INNER JOIN located
    ON customer.feed = located.feed AND customer.currency = located.currency
        AND customer.customer_id = located.customer_id AND located.age = 1
LEFT JOIN common_country
    ON customer.feed = common_country.feed AND customer.currency = common_country.currency
        AND located.country = common_country.country
LEFT JOIN next_purchase
    ON customer.feed = next_purchase.feed AND customer.currency = next_purchase.currency
        AND customer.customer_id = next_purchase.customer_id
