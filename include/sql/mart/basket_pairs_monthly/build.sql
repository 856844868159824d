-- grain: one of the 100 pairs of products that were most often on the same order of a feed in a month, five times at least
-- source: core.sales_line
-- idempotent: computes the whole month from core; equal pairs are ordered by their codes
-- re-run: the same rows
-- measure invoices_together: invoices of the month with a sale of both products
-- measure invoices_a: invoices of the month with a sale of stock_code_a
-- measure invoices_b: invoices of the month with a sale of stock_code_b
-- measure lift: invoices_together x invoices / (invoices_a x invoices_b): 1 is chance (Brin, Motwani, Ullman, Tsur 1997)
INSERT INTO staged
WITH basket AS (
    SELECT DISTINCT dates.month_start AS period_start, line.feed, line.invoice_no, line.stock_code
    FROM core.sales_line AS line
    INNER JOIN core.dim_date AS dates ON line.sale_date = dates.date_day
    WHERE line.event_time >= :from_day
        AND line.event_time < :to_day
        AND line.line_type = 'sale'
        AND line.charged_invoice IS NOT NULL
        AND dates.month_start IN (SELECT period_start FROM build_period)
),
product AS (
    SELECT period_start, feed, stock_code, COUNT(*) AS invoices
    FROM basket
    GROUP BY period_start, feed, stock_code
),
month_total AS (
    SELECT period_start, feed, COUNT(DISTINCT invoice_no) AS invoices
    FROM basket
    GROUP BY period_start, feed
),
frequent AS (
    SELECT basket.*
    FROM basket
    INNER JOIN product ON basket.period_start = product.period_start AND basket.feed = product.feed AND basket.stock_code = product.stock_code
    WHERE product.invoices >= 5 -- a pair is on no more invoices than its products (Agrawal, Srikant 1994)
),
pair AS (
    SELECT
        a.period_start,
        a.feed,
        a.stock_code AS stock_code_a,
        b.stock_code AS stock_code_b,
        COUNT(*) AS invoices_together,
        ROW_NUMBER() OVER (
            PARTITION BY a.period_start, a.feed ORDER BY COUNT(*) DESC, a.stock_code, b.stock_code
        ) AS place
    FROM frequent AS a
    INNER JOIN frequent AS b ON a.period_start = b.period_start AND a.feed = b.feed AND a.invoice_no = b.invoice_no
    WHERE a.stock_code < b.stock_code
    GROUP BY a.period_start, a.feed, a.stock_code, b.stock_code
    HAVING COUNT(*) >= 5
)
SELECT
    pair.period_start,
    pair.feed,
    pair.stock_code_a,
    pair.stock_code_b,
    pair.invoices_together,
    a.invoices,
    b.invoices,
    month_total.invoices,
    CAST(
        CAST(pair.invoices_together * month_total.invoices AS DECIMAL(18, 2)) / (a.invoices * b.invoices)
        AS DECIMAL(18, 2)
    )
FROM pair
INNER JOIN month_total ON pair.period_start = month_total.period_start AND pair.feed = month_total.feed
INNER JOIN product AS a ON pair.period_start = a.period_start AND pair.feed = a.feed AND pair.stock_code_a = a.stock_code
INNER JOIN product AS b ON pair.period_start = b.period_start AND pair.feed = b.feed AND pair.stock_code_b = b.stock_code
WHERE pair.place <= 100
