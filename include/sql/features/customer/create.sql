-- grain: one cut-off and known customer of a feed who bought before it in a currency; no column names the customer
-- source: customer/build.sql, once a cut-off
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- key part: train, validation or test, by the cut-off; a folder of the Parquet files
-- key feed: the shop; the same number in two feeds is two customers
-- key currency: of all amounts of the row
-- key cut_off: features are of the days before it, labels of it and the days after
-- feature recency_days: days from the last purchase to the cut-off; a purchase is an order or invoice with a sale or a fee
-- feature tenure_days: days from the first purchase to the cut-off
-- feature purchase_days: days with a purchase, the frequency
-- feature invoices: different invoices with a sale or a fee
-- feature invoices_30_days: as invoices, in the 30 days before the cut-off
-- feature invoices_90_days: as invoices, in the 90 days before the cut-off
-- feature net_revenue: charged less cancelled, the monetary value
-- feature net_revenue_90_days: as net_revenue, in the 90 days before the cut-off
-- feature average_basket: charged revenue / invoices
-- feature units: pieces of products sold, less pieces cancelled
-- feature different_products: different products bought
-- feature cancellations: different invoices of cancellations, or orders that were cancelled
-- feature returned_share: cancelled revenue / charged revenue, at most 1; 0 where nothing was charged
-- feature country: of the latest purchase; `other` where fewer than 10 customers of the feed, currency and cut-off are in it
-- feature first_season: winter, spring, summer or autumn of the first purchase
-- label label_bought_30_days: has a purchase on the cut-off's day or the 29 days after
-- label label_bought_90_days: has a purchase on the cut-off's day or the 89 days after; empty where the version's horizon is 30 days
CREATE TEMPORARY TABLE feature_customer (
    part VARCHAR(16) NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    cut_off DATE NOT NULL,
    recency_days INTEGER NOT NULL,
    tenure_days INTEGER NOT NULL,
    purchase_days INTEGER NOT NULL,
    invoices INTEGER NOT NULL,
    invoices_30_days INTEGER NOT NULL,
    invoices_90_days INTEGER NOT NULL,
    net_revenue DECIMAL(18, 3) NOT NULL,
    net_revenue_90_days DECIMAL(18, 3) NOT NULL,
    average_basket DECIMAL(18, 3) NOT NULL,
    units BIGINT NOT NULL,
    different_products INTEGER NOT NULL,
    cancellations INTEGER NOT NULL,
    returned_share DECIMAL(9, 6) NOT NULL,
    country VARCHAR(128) NOT NULL,
    first_season VARCHAR(8) NOT NULL,
    label_bought_30_days BOOLEAN NOT NULL,
    label_bought_90_days BOOLEAN
)
