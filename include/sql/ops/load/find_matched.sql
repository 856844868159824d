-- grain: one row of core with an event of the batch
-- source: the feed's events in core, of the batch's span of days: what the sort key leaves out is not read
-- idempotent: a temporary table of this session, which ends with the transaction
-- re-run: creates it anew. All that follows asks this table what core has
CREATE TEMPORARY TABLE matched AS
SELECT fact.event_id, fact.event_version, fact.event_time
FROM {fact} AS fact
INNER JOIN (SELECT DISTINCT event_id FROM batch_event) AS batch ON fact.event_id = batch.event_id
WHERE fact.event_time >= (SELECT first_time FROM batch_span)
    AND fact.event_time < (SELECT end_time FROM batch_span)
