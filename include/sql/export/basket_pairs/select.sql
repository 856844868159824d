-- grain: one pair of products that were on the same orders of a feed in a month
-- source: mart.basket_pairs_monthly, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    pair.period_start AS month_start,
    pair.feed,
    pair.stock_code_a,
    a.description AS description_a,
    pair.stock_code_b,
    b.description AS description_b,
    pair.invoices_together,
    pair.lift
FROM mart.basket_pairs_monthly AS pair
LEFT JOIN core.dim_product AS a ON pair.feed = a.feed AND pair.stock_code_a = a.product_id
LEFT JOIN core.dim_product AS b ON pair.feed = b.feed AND pair.stock_code_b = b.product_id
