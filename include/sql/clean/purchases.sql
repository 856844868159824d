-- grain: one row per event of the batch
-- source: typed, the batch's events with the contract's columns typed and checked
-- idempotent: a pure function of the batch's events and the HMAC key
-- re-run: the same rows
WITH purchase AS (
    SELECT
        *,
        -- The customer is the phone number's digits under HMAC-SHA256 (RFC 2104), so that spelling does not matter.
        CASE
            WHEN phone = 'erased' THEN phone -- what erase_customer leaves in raw/
            ELSE SHA256(
                UNHEX($hmac_outer_pad)
                || UNHEX(SHA256(UNHEX($hmac_inner_pad) || ENCODE(REGEXP_REPLACE(phone, '[^0-9]', '', 'g'))))
            )
        END AS customer_key,
        -- US addresses end in "City, ST 12345" or, for the forces, "APO AE 12345".
        REGEXP_EXTRACT(address, '(^|[^A-Za-z0-9_])([A-Z]{2}) [0-9]{5}(-[0-9]{4})?\z', 2) AS address_state
    FROM typed
)
SELECT
    event_id,
    event_time,
    event_version,
    customer_key,
    CASE
        WHEN age < 18 THEN '0-17'
        WHEN age < 25 THEN '18-24'
        WHEN age < 35 THEN '25-34'
        WHEN age < 45 THEN '35-44'
        WHEN age < 55 THEN '45-54'
        WHEN age < 65 THEN '55-64'
        ELSE '65+'
    END AS age_group,
    gender,
    CASE WHEN address_state = '' THEN 'unknown' ELSE address_state END AS state,
    product_name,
    amount,
    source_object,
    source_line,
    reasons
FROM purchase
