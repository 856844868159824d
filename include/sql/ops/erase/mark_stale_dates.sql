-- grain: one day with events of the customer, and one mart that is made of the feed
-- source: the feed's events in core, before the customer is taken out of them
-- idempotent: yes
-- re-run: after a commit core has no events of the customer, so nothing
INSERT INTO ops.stale_date (mart, event_date, batch_id)
SELECT DISTINCT registered.mart, CAST(fact.event_time AS DATE), :request
FROM {fact} AS fact
INNER JOIN ops.mart AS registered ON registered.source = :feed
WHERE fact.{customer} = :customer_id
