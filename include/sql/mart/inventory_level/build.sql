-- grain: one product with movements, as of the last day with movements
-- source: mart.product_movements_daily
-- idempotent: computes the whole
-- re-run: the same rows
-- measure as_of_date: last day with movements of any product
-- measure sold_last_28_days: sold_units of the 28 days up to as_of_date
-- measure sold_28_days_before: sold_units of the 28 days before these
-- measure on_hand: sum of stock_change since the first movement; below zero where opening stock was never reported
-- measure sales_trend: sold_last_28_days / sold_28_days_before - 1; empty where nothing was sold before
-- measure days_of_cover: on_hand (0 where below) / pieces sold a day in the last 28 days, or since the first movement of all where that is later
-- measure stock_out_days: days that ended with nothing on hand, each until the next movement
-- measure status: out (nothing on hand), idle (nothing sold in 28 days), low (cover below 7 days), good
INSERT INTO staged
WITH span AS (
    SELECT
        MAX(period_start) AS as_of_date,
        LEAST(28, DATEDIFF(day, MIN(period_start), MAX(period_start)) + 1) AS days
    FROM mart.product_movements_daily
),
balance AS (
    SELECT
        product_id,
        period_start,
        sold_units,
        stock_change AS moved,
        SUM(stock_change) OVER (
            PARTITION BY product_id ORDER BY period_start ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS on_hand,
        LEAD(period_start) OVER (PARTITION BY product_id ORDER BY period_start) AS next_date
    FROM mart.product_movements_daily
),
dated AS (
    SELECT
        balance.*,
        span.as_of_date,
        span.days,
        DATEDIFF(day, balance.period_start, span.as_of_date) AS age_days,
        COALESCE(balance.next_date, CAST(DATEADD(day, 1, span.as_of_date) AS DATE)) AS until_date
    FROM balance
    CROSS JOIN span
),
product AS (
    SELECT
        product_id,
        as_of_date,
        days,
        SUM(moved) AS on_hand,
        SUM(sold_units) AS sold_units,
        SUM(CASE WHEN age_days < 28 THEN sold_units ELSE 0 END) AS sold_last,
        SUM(CASE WHEN age_days >= 28 AND age_days < 56 THEN sold_units ELSE 0 END) AS sold_before,
        SUM(CASE WHEN on_hand <= 0 THEN DATEDIFF(day, period_start, until_date) ELSE 0 END) AS stock_out_days
    FROM dated
    GROUP BY product_id, as_of_date, days
)
SELECT
    product_id,
    as_of_date,
    on_hand,
    sold_units,
    sold_last,
    sold_before,
    CAST(CAST(sold_last AS DECIMAL(18, 4)) / NULLIF(sold_before, 0) - 1 AS DECIMAL(18, 4)),
    CAST(CAST(GREATEST(on_hand, 0) * days AS DECIMAL(18, 4)) / NULLIF(sold_last, 0) AS DECIMAL(18, 1)),
    stock_out_days,
    CASE
        WHEN on_hand <= 0 THEN 'out'
        WHEN sold_last = 0 THEN 'idle'
        WHEN on_hand * days < sold_last * 7 THEN 'low'
        ELSE 'good'
    END
FROM product
