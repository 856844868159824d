-- grain: one week and product of a feed that was sold in a currency in the 12 weeks before; features are of the weeks before, labels of the week and after
-- source: product_week/build.sql
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
-- key part: train, validation or test, by the week; a folder of the Parquet files
-- key feed: the shop
-- key currency: of the price
-- key stock_code: the product
-- key week_start: Monday of the week
-- feature units_1_week: pieces sold in the week before; cancelled pieces are not taken off, because they were asked for
-- feature units_4_weeks: as units_1_week, in the 4 weeks before
-- feature units_12_weeks: as units_1_week, in the 12 weeks before
-- feature weeks_with_sales: weeks of the 12 before in which a piece was sold
-- feature weeks_since_last_sale: weeks from the last one with a sale to week_start, 1 to 12
-- feature weeks_since_first_sale: weeks from the first one with a sale to week_start
-- feature invoices_4_weeks: invoices with the product in the 4 weeks before, counted a week
-- feature average_price: charged revenue / pieces sold, in the 12 weeks before
-- feature returned_share: pieces cancelled / pieces sold in the 12 weeks before, at most 1
-- feature month_number: month of week_start, 1 to 12
-- label label_units_1_week: pieces sold in the week
-- label label_units_4_weeks: pieces sold in the week and the 3 after
CREATE TEMPORARY TABLE feature_product_week (
    part VARCHAR(16) NOT NULL,
    feed VARCHAR(64) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    stock_code VARCHAR(512) NOT NULL,
    week_start DATE NOT NULL,
    units_1_week BIGINT NOT NULL,
    units_4_weeks BIGINT NOT NULL,
    units_12_weeks BIGINT NOT NULL,
    weeks_with_sales INTEGER NOT NULL,
    weeks_since_last_sale INTEGER NOT NULL,
    weeks_since_first_sale INTEGER NOT NULL,
    invoices_4_weeks BIGINT NOT NULL,
    average_price DECIMAL(18, 4) NOT NULL,
    returned_share DECIMAL(9, 6) NOT NULL,
    month_number INTEGER NOT NULL,
    label_units_1_week BIGINT NOT NULL,
    label_units_4_weeks BIGINT NOT NULL
)
