-- grain: one quarter, feed and currency with sales
-- source: mart.sales_quarterly
-- idempotent: a view
-- re-run: defines the same view
-- measure net_revenue_before: net_revenue of the quarter before
-- measure change: net_revenue less net_revenue of the quarter before; empty where the quarter before had no sales
-- measure change_ratio: change / net_revenue of the quarter before
CREATE OR REPLACE VIEW mart.quarterly_revenue AS
SELECT
    this.period_start,
    this.feed,
    this.currency,
    this.net_revenue,
    before.net_revenue AS net_revenue_before,
    CAST(this.net_revenue - before.net_revenue AS DECIMAL(18, 3)) AS change,
    CAST((this.net_revenue - before.net_revenue) / NULLIF(before.net_revenue, 0) AS DECIMAL(18, 4)) AS change_ratio
FROM mart.sales_quarterly AS this
LEFT JOIN mart.sales_quarterly AS before
    ON before.feed = this.feed
    AND before.currency = this.currency
    AND before.period_start = CAST(DATEADD(quarter, -1, this.period_start) AS DATE)
