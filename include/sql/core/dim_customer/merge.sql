-- grain: one customer, one row per customer_key; attributes are those of the latest purchase
-- source: core.fact_purchase, for the customers of staging.purchases and of purchases that were corrected
-- idempotent: derived from all purchases of the customer, so the order of arrival does not matter
-- re-run: writes the same values
MERGE INTO core.dim_customer
USING (
    SELECT
        customer_key,
        MAX(CASE WHEN recency = 1 THEN age_group END) AS age_group,
        MAX(CASE WHEN recency = 1 THEN gender END) AS gender,
        MAX(CASE WHEN recency = 1 THEN state END) AS state,
        MIN(event_time) AS first_purchase_at,
        MAX(event_time) AS last_purchase_at,
        COUNT(*) AS purchases,
        CAST(SUM(amount) AS DECIMAL(18, 2)) AS amount
    FROM (
        SELECT
            customer_key,
            age_group,
            gender,
            state,
            event_time,
            amount,
            ROW_NUMBER() OVER (PARTITION BY customer_key ORDER BY event_time DESC, event_id DESC) AS recency
        FROM core.fact_purchase
        WHERE customer_key IN (
            SELECT customer_key FROM staging.purchases
            UNION
            SELECT customer_key FROM replaced
        )
            AND customer_key <> 'erased' -- nobody: include/sql/clean/purchases.sql
    ) AS purchase
    GROUP BY customer_key
) AS source
ON core.dim_customer.customer_key = source.customer_key
WHEN MATCHED THEN UPDATE SET
    age_group = source.age_group,
    gender = source.gender,
    state = source.state,
    first_purchase_at = source.first_purchase_at,
    last_purchase_at = source.last_purchase_at,
    purchases = source.purchases,
    amount = source.amount
WHEN NOT MATCHED THEN INSERT (
    customer_key,
    age_group,
    gender,
    state,
    first_purchase_at,
    last_purchase_at,
    purchases,
    amount
) VALUES (
    source.customer_key,
    source.age_group,
    source.gender,
    source.state,
    source.first_purchase_at,
    source.last_purchase_at,
    source.purchases,
    source.amount
)
