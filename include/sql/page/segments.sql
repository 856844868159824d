-- grain: one segment of the customers of the days; recency, frequency and monetary value are those of all days
-- source: mart.customer_behaviour, mart.customer_days
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT behaviour.segment, COUNT(*) AS customers, SUM(bought.net_revenue) AS net_revenue
FROM mart.customer_behaviour AS behaviour
INNER JOIN (
    SELECT feed, currency, customer_id, SUM(net_revenue) AS net_revenue
    FROM mart.customer_days
    WHERE period_start >= :from_day
        AND period_start < :to_day
        AND invoices > 0
        AND currency = :currency
        AND (:feed = 'all' OR feed = :feed)
    GROUP BY feed, currency, customer_id
) AS bought ON behaviour.feed = bought.feed
    AND behaviour.currency = bought.currency
    AND behaviour.customer_id = bought.customer_id
GROUP BY behaviour.segment
ORDER BY SUM(bought.net_revenue) DESC
LIMIT 10
