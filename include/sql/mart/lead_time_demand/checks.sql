-- grain: one check
-- source: staged, the rows that are about to replace those of mart.lead_time_demand
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.lead_time_demand',
    'feed and product_id are unique',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM (SELECT feed, product_id FROM staged GROUP BY feed, product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.lead_time_demand',
    'levels ascend from zero',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM staged
WHERE expected_units < 0
    OR reorder_point < 0
    OR order_up_to < reorder_point
UNION ALL
SELECT
    :build_id,
    'mart.lead_time_demand',
    'has the products of the forecast',
    'fail',
    COUNT(*),
    MIN(COALESCE(built.product_id, forecast.product_id)),
    GETDATE()
FROM staged AS built
FULL JOIN (SELECT DISTINCT feed, product_id, fingerprint FROM mart.demand_forecast) AS forecast
    ON built.feed = forecast.feed
    AND built.product_id = forecast.product_id
    AND built.fingerprint = forecast.fingerprint
WHERE built.product_id IS NULL OR forecast.product_id IS NULL
