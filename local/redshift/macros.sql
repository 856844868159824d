-- What DuckDB's functions lack or do otherwise than Redshift's, as macros rs_<name>. Source: Redshift Developer Guide, the page of each
-- function. A condition whose result is not documented ends in error().

-- String functions
CREATE OR REPLACE MACRO rs_ascii(s) AS CASE WHEN s = '' THEN 0 ELSE unicode(s) END;
CREATE OR REPLACE MACRO rs_text_cmp(a, b) AS
    CASE WHEN rtrim(a, ' ') < rtrim(b, ' ') THEN -1 WHEN rtrim(a, ' ') > rtrim(b, ' ') THEN 1 WHEN a IS NULL OR b IS NULL THEN NULL ELSE 0 END;
CREATE OR REPLACE MACRO rs_charindex(b, s) AS strpos(s, b), (b, s, n) AS
    CASE WHEN strpos(substring(s, greatest(n, 1)), b) = 0 THEN 0 ELSE strpos(substring(s, greatest(n, 1)), b) + greatest(n, 1) - 1 END;
CREATE OR REPLACE MACRO rs_octetindex(b, s) AS
    CASE WHEN strpos(s, b) = 0 THEN 0 ELSE strlen(left(s, (strpos(s, b) - 1)::BIGINT)) + 1 END;
CREATE OR REPLACE MACRO rs_initcap(s) AS
    array_to_string(list_transform(regexp_extract_all(s, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+'), lambda w: upper(left(w, 1)) || lower(substring(w, 2))), '');
CREATE OR REPLACE MACRO rs_left(s, n) AS
    CASE WHEN n < 0 THEN error('LEFT with a negative length is not supported by the local Redshift stand-in') ELSE left(s, n::BIGINT) END;
CREATE OR REPLACE MACRO rs_right(s, n) AS
    CASE WHEN n < 0 THEN error('RIGHT with a negative length is not supported by the local Redshift stand-in') ELSE right(s, n::BIGINT) END;
CREATE OR REPLACE MACRO rs_lpad(s, n) AS lpad(s, greatest(n, 0)::INTEGER, ' '), (s, n, p) AS
    CASE WHEN p = '' THEN left(s, greatest(n, 0)::BIGINT) ELSE lpad(s, greatest(n, 0)::INTEGER, p) END;
CREATE OR REPLACE MACRO rs_rpad(s, n) AS rpad(s, greatest(n, 0)::INTEGER, ' '), (s, n, p) AS
    CASE WHEN p = '' THEN left(s, greatest(n, 0)::BIGINT) ELSE rpad(s, greatest(n, 0)::INTEGER, p) END;
CREATE OR REPLACE MACRO rs_repeat(s, n) AS repeat(s, greatest(n, 0)::BIGINT);
CREATE OR REPLACE MACRO rs_quote_ident(s) AS
    CASE WHEN regexp_full_match(s, '[a-z_][a-z0-9_]*') THEN s ELSE '"' || replace(s, '"', '""') || '"' END;
CREATE OR REPLACE MACRO rs_quote_literal(s) AS '''' || replace(replace(s, '\', '\\'), '''', '''''') || '''';
CREATE OR REPLACE MACRO rs_nth_match(s, found, n) AS CASE WHEN s IS NULL THEN NULL ELSE coalesce(found[n], '') END;
CREATE OR REPLACE MACRO rs_match_start(s, p) AS
    CASE WHEN regexp_matches(s, p) THEN length(regexp_extract(s, p, 1)) + 1 WHEN s IS NULL THEN NULL ELSE 0 END;
CREATE OR REPLACE MACRO rs_split_part(s, d, n) AS
    CASE WHEN n = 0 THEN error('field position must be greater than zero') ELSE split_part(s, d, n::BIGINT) END;
CREATE OR REPLACE MACRO rs_substring(s, p) AS substring(s, greatest(p, 1)::BIGINT), (s, p, n) AS
    CASE WHEN n < 0 THEN error('negative substring length not allowed')
        ELSE substring(s, greatest(p, 1)::BIGINT, greatest(0, n + least(p, 1) - 1)::BIGINT) END;
CREATE OR REPLACE MACRO rs_strtol_16(s) AS CAST('0x' || CASE WHEN s LIKE '0x%' THEN substring(s, 3) WHEN s = '' THEN '0' ELSE s END AS BIGINT);
CREATE OR REPLACE MACRO rs_strtol_2(s) AS CAST('0b' || s AS BIGINT);
CREATE OR REPLACE MACRO rs_strtol_10(s) AS CAST(s AS BIGINT);
CREATE OR REPLACE MACRO rs_to_hex(n) AS lower(to_hex(n::BIGINT));
CREATE OR REPLACE MACRO rs_float_text(x, n) AS
    CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END
        WHEN n = 15 THEN format('{:.15g}', x) ELSE format('{:.6g}', x) END;
CREATE OR REPLACE MACRO rs_cut(s, n) AS
    CASE WHEN strlen(s) <= n THEN s
        ELSE left(s, list_max(list_filter(range(0, n + 1), lambda i: strlen(left(s, i)) <= n))::BIGINT) END;
CREATE OR REPLACE MACRO rs_solid(s) AS
    CASE WHEN s LIKE '% ' THEN error('grouping texts that end with blanks is not supported by the local Redshift stand-in: TRIM them') ELSE s END;
CREATE OR REPLACE MACRO rs_hashed(x, h) AS
    CASE WHEN x IS NULL THEN error('FNV_HASH of NULL is not supported by the local Redshift stand-in') ELSE h END;

-- VARBYTE functions
CREATE OR REPLACE MACRO rs_varbyte_of_hex(s) AS unhex(CASE WHEN length(s) % 2 = 1 THEN '0' || s ELSE s END);
CREATE OR REPLACE MACRO rs_varbyte_of_binary(s) AS CASE WHEN length(s) % 8 = 0 THEN unbin(s)
    WHEN s IS NULL THEN NULL ELSE error('TO_VARBYTE of bits that are no whole bytes is not supported by the local Redshift stand-in') END;
CREATE OR REPLACE MACRO rs_varbyte_of_number(i, digits) AS CASE WHEN i < 0
    THEN error('a cast of a negative number to VARBYTE is not supported by the local Redshift stand-in')
    ELSE unhex(lpad(to_hex(CAST(i AS BIGINT)), CAST(digits AS INTEGER), '0')) END;
CREATE OR REPLACE MACRO rs_hex_of_varbyte(b) AS lower(hex(b));
CREATE OR REPLACE MACRO rs_binary_of_varbyte(b) AS CAST(CAST(b AS BIT) AS VARCHAR);
CREATE OR REPLACE MACRO rs_getbit(b, n) AS CASE WHEN n < 0 OR n >= octet_length(b) * 8 THEN error('index ' || n || ' out of valid range')
    ELSE CAST(substring(rs_binary_of_varbyte(b), octet_length(b) * 8 - n, 1) AS INTEGER) END;

-- Math functions
CREATE OR REPLACE MACRO rs_mod(a, b) AS CASE WHEN b = 0 THEN error('Division by zero') ELSE a % b END;
CREATE OR REPLACE MACRO rs_log10(x) AS log10(x);
CREATE OR REPLACE MACRO rs_intdiv(a, b) AS CASE WHEN b = 0 THEN error('Division by zero') ELSE a // b END;
CREATE OR REPLACE MACRO rs_cut_mean(total, n) AS total // n;
CREATE OR REPLACE MACRO rs_floatdiv(a, b) AS CASE WHEN b = 0 THEN error('Division by zero') ELSE a / b END;

-- Date and time functions
CREATE OR REPLACE MACRO rs_add_month(t, n) AS CAST(t AS TIMESTAMP) + to_months(CAST(n AS INTEGER));
CREATE OR REPLACE MACRO rs_add_week(t, n) AS CAST(t AS TIMESTAMP) + to_weeks(CAST(n AS INTEGER));
CREATE OR REPLACE MACRO rs_add_day(t, n) AS CAST(t AS TIMESTAMP) + to_days(CAST(n AS INTEGER));
CREATE OR REPLACE MACRO rs_add_hour(t, n) AS CAST(t AS TIMESTAMP) + to_hours(CAST(n AS BIGINT));
CREATE OR REPLACE MACRO rs_add_minute(t, n) AS CAST(t AS TIMESTAMP) + to_minutes(CAST(n AS BIGINT));
CREATE OR REPLACE MACRO rs_add_microsecond(t, n) AS CAST(t AS TIMESTAMP) + to_microseconds(CAST(n AS BIGINT));
CREATE OR REPLACE MACRO rs_add_second(t, n) AS CAST(t AS TIMESTAMP) + to_microseconds(CAST(n AS BIGINT) * 1000000);
CREATE OR REPLACE MACRO rs_add_millisecond(t, n) AS CAST(t AS TIMESTAMP) + to_microseconds(CAST(n AS BIGINT) * 1000);
CREATE OR REPLACE MACRO rs_add_quarter(t, n) AS CAST(t AS TIMESTAMP) + to_months(CAST(n AS INTEGER) * 3);
-- DATEADD(year, 1, '2016-02-29') is 2017-03-01 where DATEADD(month, 12, ...) is 2017-02-28: both documented.
CREATE OR REPLACE MACRO rs_add_year(t, n) AS CASE
    WHEN month(t) = 2 AND day(t) = 29 AND day(CAST(t AS TIMESTAMP) + to_years(CAST(n AS INTEGER))) = 28
        THEN CAST(t AS TIMESTAMP) + to_years(CAST(n AS INTEGER)) + to_days(1)
    ELSE CAST(t AS TIMESTAMP) + to_years(CAST(n AS INTEGER)) END;
CREATE OR REPLACE MACRO rs_add_months(t, n) AS CASE
    WHEN CAST(t AS DATE) = last_day(t)
        THEN CAST(last_day(CAST(t AS TIMESTAMP) + to_months(CAST(n AS INTEGER))) AS TIMESTAMP) + (CAST(t AS TIMESTAMP) - CAST(CAST(t AS DATE) AS TIMESTAMP))
    ELSE CAST(t AS TIMESTAMP) + to_months(CAST(n AS INTEGER)) END;
CREATE OR REPLACE MACRO rs_weeks_between(a, b) AS CASE
    WHEN date_diff('week', a, b) = date_diff('week', CAST(a AS TIMESTAMP) + to_days(1), CAST(b AS TIMESTAMP) + to_days(1)) THEN date_diff('week', a, b)
    ELSE error('DATEDIFF(week) across a Sunday or a Monday is not supported by the local Redshift stand-in: which of them begins the week is not documented') END;
CREATE OR REPLACE MACRO rs_trunc_years(t, n) AS make_timestamp(((year(t) - 1) // n * n + 1)::BIGINT, 1, 1, 0, 0, 0.0);
CREATE OR REPLACE MACRO rs_millennium(t) AS (year(t) - 1) // 1000 + 1;
CREATE OR REPLACE MACRO rs_decade(t) AS year(t) // 10 + 1;
CREATE OR REPLACE MACRO rs_milliseconds(t) AS millisecond(t) % 1000;
CREATE OR REPLACE MACRO rs_microseconds(t) AS microsecond(t) % 1000000;
CREATE OR REPLACE MACRO rs_epoch(t) AS floor(epoch(t));
CREATE OR REPLACE MACRO rs_part_second(t) AS second(t) + (microsecond(t) % 1000000) / 1000000.0::DOUBLE;
CREATE OR REPLACE MACRO rs_part_epoch(t) AS epoch(t);
CREATE OR REPLACE MACRO rs_months_between(a, b) AS CASE
    WHEN day(a) = day(b) OR (CAST(a AS DATE) = last_day(a) AND CAST(b AS DATE) = last_day(b))
        THEN CAST((year(a) - year(b)) * 12 + month(a) - month(b) AS DOUBLE)
    ELSE (year(a) - year(b)) * 12 + month(a) - month(b)
        + (day(a) - day(b) + (epoch(CAST(a AS TIMESTAMP)) % 86400 - epoch(CAST(b AS TIMESTAMP)) % 86400) / 86400) / 31.0::DOUBLE END;
CREATE OR REPLACE MACRO rs_next_day(d, n) AS d + CAST((n - dayofweek(d) + 6) % 7 + 1 AS INTEGER);
CREATE OR REPLACE MACRO rs_time_cmp(a, b) AS CASE WHEN a < b THEN -1 WHEN a > b THEN 1 WHEN a = b THEN 0 END;
CREATE OR REPLACE MACRO rs_timestamp(s) AS CASE
    WHEN regexp_full_match(s, '\s*\d{4}-\d{1,2}-\d{1,2}([T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*') THEN CAST(s AS TIMESTAMP)
    WHEN s IS NULL THEN NULL
    ELSE error('the time ''' || s || ''' is not supported by the local Redshift stand-in: expected YYYY-MM-DD HH:MI:SS') END;
CREATE OR REPLACE MACRO rs_number_digits(x, f) AS
    CASE WHEN f = 0 THEN CAST(CAST(round(abs(x), 0) AS DECIMAL(38,0)) AS VARCHAR) ELSE CAST(round(abs(x), f) AS VARCHAR) END;
CREATE OR REPLACE MACRO rs_number_whole(x, f, zeros, grouped) AS
    CASE WHEN grouped = 1 THEN format('{:,}', CAST(split_part(rs_number_digits(x, f), '.', 1) AS BIGINT))
        WHEN zeros = 0 AND f > 0 AND split_part(rs_number_digits(x, f), '.', 1) = '0' THEN ''
        ELSE lpad(split_part(rs_number_digits(x, f), '.', 1), greatest(zeros, length(split_part(rs_number_digits(x, f), '.', 1)))::INTEGER, '0') END;
CREATE OR REPLACE MACRO rs_number_text(x, n, f, zeros, width, grouped) AS CASE WHEN x IS NULL THEN NULL
    WHEN length(split_part(rs_number_digits(x, f), '.', 1)) > n
        THEN error('TO_CHAR of a number with more digits than its format is not supported by the local Redshift stand-in')
    ELSE (CASE WHEN width = 0 THEN CASE WHEN x < 0 THEN '-' ELSE '' END || rs_number_whole(x, f, zeros, grouped)
            ELSE lpad(CASE WHEN x < 0 THEN '-' ELSE ' ' END || rs_number_whole(x, f, zeros, grouped), (width + 1)::INTEGER, ' ') END)
        || CASE WHEN f = 0 THEN '' ELSE '.' || rpad(split_part(rs_number_digits(x, f), '.', 2), f::INTEGER, '0') END END;
CREATE OR REPLACE MACRO rs_to_number_text(s, sign_last) AS CASE WHEN s IS NULL THEN NULL
    WHEN sign_last = 1 AND NOT regexp_full_match(s, '\s*[0-9,]*\.?[0-9]*[-+ ]?\s*') THEN error('invalid input syntax for TO_NUMBER')
    WHEN sign_last = 0 AND NOT regexp_full_match(s, '\s*-?[0-9,]*\.?[0-9]*\s*') THEN error('invalid input syntax for TO_NUMBER')
    ELSE CASE WHEN s LIKE '%-%' THEN '-' ELSE '' END || regexp_replace(s, '[^0-9.]', '', 'g') END;

-- Conditional expressions
CREATE OR REPLACE MACRO rs_rest(x) AS 1 - x;
CREATE OR REPLACE MACRO rs_interval_times(i, x) AS to_microseconds((epoch(i) * x * 1000000)::BIGINT);
CREATE OR REPLACE MACRO rs_same(a, b) AS a IS NOT DISTINCT FROM b;

-- JSON functions and SUPER
-- DuckDB reads a comma before a closing bracket; Redshift does not. Where one is seen, even within a text, nothing is said.
CREATE OR REPLACE MACRO rs_valid(j) AS CASE WHEN NOT regexp_matches(j, ',\s*[\]}]') THEN json_valid(j)
    WHEN NOT json_valid(j) THEN FALSE
    ELSE error('JSON with a comma before a bracket is not supported by the local Redshift stand-in') END;
CREATE OR REPLACE MACRO rs_parse(j) AS CASE WHEN j IS NULL THEN NULL WHEN rs_valid(j) THEN json(j) ELSE error('JSON parsing error') END;
CREATE OR REPLACE MACRO rs_json_text(j, p) AS CASE WHEN j IS NULL THEN NULL
    WHEN NOT rs_valid(j) THEN error('JSON parsing error') ELSE json_extract_string(j, p) END;
CREATE OR REPLACE MACRO rs_json_text_or_null(j, p) AS CASE WHEN rs_valid(j) THEN json_extract_string(j, p) END;
CREATE OR REPLACE MACRO rs_json_array_length(j) AS CASE WHEN j IS NULL THEN NULL
    WHEN NOT rs_valid(j) OR json_type(j) <> 'ARRAY' THEN error('invalid json array object') ELSE json_array_length(j)::INTEGER END;
CREATE OR REPLACE MACRO rs_json_array_length_or_null(j) AS
    CASE WHEN rs_valid(j) AND json_type(j) = 'ARRAY' THEN json_array_length(j)::INTEGER END;
CREATE OR REPLACE MACRO rs_is_valid_json(j) AS rs_valid(j) AND json_type(j) = 'OBJECT';
CREATE OR REPLACE MACRO rs_is_valid_json_array(j) AS rs_valid(j) AND json_type(j) = 'ARRAY';
CREATE OR REPLACE MACRO rs_serialize(j) AS CAST(json(j) AS VARCHAR);
CREATE OR REPLACE MACRO rs_json_typeof(j) AS CASE json_type(j) WHEN 'ARRAY' THEN 'array' WHEN 'OBJECT' THEN 'object'
    WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' WHEN NULL THEN NULL ELSE 'number' END;
CREATE OR REPLACE MACRO rs_is_kind(j, k) AS coalesce(rs_json_typeof(j) = k, false);
CREATE OR REPLACE MACRO rs_is_scalar(j) AS coalesce(rs_json_typeof(j) NOT IN ('array', 'object'), false);
CREATE OR REPLACE MACRO rs_get_array_length(j) AS CASE WHEN json_type(j) = 'ARRAY' THEN json_array_length(j)::INTEGER END;
CREATE OR REPLACE MACRO rs_array_concat(a, b) AS
    CASE WHEN json_type(a) = 'ARRAY' AND json_type(b) = 'ARRAY' THEN to_json(list_concat(CAST(a AS JSON[]), CAST(b AS JSON[]))) END;
CREATE OR REPLACE MACRO rs_subarray(a, n) AS to_json(list_slice(CAST(a AS JSON[]), n + 1, 16000000)),
    (a, n, m) AS to_json(list_slice(CAST(a AS JSON[]), n + 1, n + m));
CREATE OR REPLACE MACRO rs_super_text(j) AS CASE WHEN json_type(j) IN ('ARRAY', 'OBJECT') THEN NULL
    WHEN json_type(j) = 'NULL' THEN NULL ELSE json_extract_string(j, '$') END;
CREATE OR REPLACE MACRO rs_super_number(j) AS CASE WHEN json_type(j) IN ('ARRAY', 'OBJECT', 'NULL') THEN NULL ELSE json_extract_string(j, '$') END;
CREATE OR REPLACE MACRO rs_super_at(j, p) AS json_extract(j, p);

-- Casts
CREATE OR REPLACE MACRO rs_whole(s) AS CASE WHEN s IS NULL OR regexp_full_match(s, '\s*[+-]?[0-9]+\s*') THEN s
    ELSE error('invalid input syntax for integer: "' || s || '"') END;
CREATE OR REPLACE MACRO rs_number(s) AS CASE WHEN s IS NULL OR regexp_full_match(s, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*') THEN s
    ELSE error('invalid input syntax for type numeric: "' || s || '"') END;
CREATE OR REPLACE MACRO rs_fit(s, n) AS CASE WHEN strlen(s) > n AND strlen(rtrim(s, ' ')) <= n
    THEN rtrim(s, ' ') || repeat(' ', n - strlen(rtrim(s, ' '))) ELSE s END;
