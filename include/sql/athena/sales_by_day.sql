-- grain: one day
-- source: the lake's table online_retail
-- idempotent: reads only
-- re-run: the same rows. Parameters: the first and the last day, such as '2011-11-01'. Reads the objects of these days alone
SELECT
    dt,
    COUNT(*) AS lines,
    COUNT(DISTINCT invoice_no) AS invoices,
    SUM(quantity) AS units,
    SUM(amount) AS net_revenue
FROM online_retail
WHERE dt BETWEEN ? AND ?
GROUP BY dt
ORDER BY dt
