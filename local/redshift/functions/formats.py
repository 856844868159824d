"""Format strings of TO_CHAR, TO_DATE, TO_TIMESTAMP and TO_NUMBER. Source: Redshift Developer Guide, "Data type formatting".

A pattern that is not in these tables is refused by name.
"""

from __future__ import annotations

import re

from local.redshift.errors import unsupported

# What TO_CHAR makes of each pattern, as DuckDB's expression of the time {t}. Longer patterns are looked for first.
_PADDED = "rpad({0}, 9, ' ')"
TO_CHAR: dict[str, str] = {
    "YYYY": "strftime({t}, '%Y')",
    "YYY": "right(strftime({t}, '%Y'), 3)",
    "YY": "strftime({t}, '%y')",
    "Y": "right(strftime({t}, '%Y'), 1)",
    "Y,YYY": "format('{{}},{{:03d}}', year({t}) // 1000, year({t}) % 1000)",
    "IYYY": "isoyear({t})::VARCHAR",
    "IYY": "right(isoyear({t})::VARCHAR, 3)",
    "IY": "right(isoyear({t})::VARCHAR, 2)",
    "I": "right(isoyear({t})::VARCHAR, 1)",
    "Q": "quarter({t})::VARCHAR",
    "CC": "format('{{:02d}}', century({t}))",
    "MONTH": _PADDED.format("upper(strftime({t}, '%B'))"),
    "Month": _PADDED.format("strftime({t}, '%B')"),
    "month": _PADDED.format("lower(strftime({t}, '%B'))"),
    "MON": "upper(strftime({t}, '%b'))",
    "Mon": "strftime({t}, '%b')",
    "mon": "lower(strftime({t}, '%b'))",
    "MM": "strftime({t}, '%m')",
    "W": "((day({t}) - 1) // 7 + 1)::VARCHAR",
    "WW": "format('{{:02d}}', (dayofyear({t}) - 1) // 7 + 1)",
    "IW": "format('{{:02d}}', weekofyear({t}))",
    "DAY": _PADDED.format("upper(strftime({t}, '%A'))"),
    "Day": _PADDED.format("strftime({t}, '%A')"),
    "day": _PADDED.format("lower(strftime({t}, '%A'))"),
    "DY": "upper(strftime({t}, '%a'))",
    "Dy": "strftime({t}, '%a')",
    "dy": "lower(strftime({t}, '%a'))",
    "DDD": "strftime({t}, '%j')",
    "DD": "strftime({t}, '%d')",
    "D": "(dayofweek({t}) + 1)::VARCHAR",
    "ID": "isodow({t})::VARCHAR",
    "J": "(date_diff('day', DATE '2000-01-01', {t}::DATE) + 2451545)::VARCHAR",
    "HH24": "strftime({t}, '%H')",
    "HH12": "strftime({t}, '%I')",
    "HH": "strftime({t}, '%I')",
    "MI": "strftime({t}, '%M')",
    "SS": "strftime({t}, '%S')",
    "MS": "strftime({t}, '%g')",
    "US": "strftime({t}, '%f')",
    "AM": "strftime({t}, '%p')",
    "PM": "strftime({t}, '%p')",
    "am": "lower(strftime({t}, '%p'))",
    "pm": "lower(strftime({t}, '%p'))",
    "A.M.": "replace(replace(strftime({t}, '%p'), 'AM', 'A.M.'), 'PM', 'P.M.')",
    "P.M.": "replace(replace(strftime({t}, '%p'), 'AM', 'A.M.'), 'PM', 'P.M.')",
    "a.m.": "replace(replace(strftime({t}, '%p'), 'AM', 'a.m.'), 'PM', 'p.m.')",
    "p.m.": "replace(replace(strftime({t}, '%p'), 'AM', 'a.m.'), 'PM', 'p.m.')",
    "RM": "rpad(['I','II','III','IV','V','VI','VII','VIII','IX','X','XI','XII'][month({t})], 4, ' ')",
    "rm": "rpad(['i','ii','iii','iv','v','vi','vii','viii','ix','x','xi','xii'][month({t})], 4, ' ')",
    "TZ": "'UTC'",
    "tz": "'utc'",
}
_UNPADDED = {"MONTH", "Month", "month", "DAY", "Day", "day", "RM", "rm"}
_LETTER_CASE = {
    "month",
    "mon",
    "day",
    "dy",
    "am",
    "pm",
    "a.m.",
    "p.m.",
    "rm",
    "tz",
}  # where the letters' case means something
_ENDS_WITH_BLANKS = _UNPADDED


def _pieces(pattern: str) -> list[tuple[str, str]]:
    """Returns ('text', characters), ('FM', '') or ('part', a key of TO_CHAR) in order.

    Raises:
        SqlError: A letter does not belong to a known pattern.
    """
    found: list[tuple[str, str]] = []
    at = 0
    keys = sorted(TO_CHAR, key=len, reverse=True)
    while at < len(pattern):
        rest = pattern[at:]
        if rest[0] == '"':
            end = rest.find('"', 1)
            if end < 0:
                raise unsupported(f"the format '{pattern}', whose quotation mark does not end")
            found.append(("text", rest[1:end]))
            at += end + 1
            continue
        if rest[:2].upper() == "FM":
            found.append(("FM", ""))
            at += 2
            continue
        key = next(
            (k for k in keys if rest.startswith(k) or (k.lower() not in _LETTER_CASE and rest.upper().startswith(k))),
            None,
        )
        if key:
            suffix = rest[len(key) : len(key) + 2]
            if re.match(r"(?i)th|sp", suffix):
                raise unsupported(f"the format '{pattern}' with {suffix.upper()}")
            found.append(("part", key))
            at += len(key)
        elif rest[0].isalpha():
            raise unsupported(f"the format '{pattern}' at '{rest}'")
        else:
            found.append(("text", rest[0]))
            at += 1
    return found


def to_char(pattern: str) -> tuple[str, bool]:
    """Returns (DuckDB's expression of {t} for TO_CHAR, whether the text may end with blanks)."""
    parts: list[str] = []
    bare = False
    last = ""
    for kind, value in _pieces(pattern):
        if kind == "FM":
            bare = True
            continue
        if kind == "text":
            parts.append("'" + value.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'")
        else:
            made = TO_CHAR[value]
            if bare:
                if value in _UNPADDED:
                    made = f"rtrim({made}, ' ')"
                elif re.fullmatch(r"MM|DD|DDD|HH|HH12|HH24|MI|SS|WW|IW", value):
                    made = f"ltrim({made}, '0')" if value not in {"MI", "SS", "HH24"} else f"({made}::INTEGER)::VARCHAR"
                bare = False
            parts.append(made)
        last = value
    return " || ".join(parts) or "''", last in _ENDS_WITH_BLANKS or last.endswith(" ")


_PARSED = {
    "YYYY": "%Y",
    "YY": "%y",
    "MM": "%m",
    "MON": "%b",
    "MONTH": "%B",
    "DD": "%d",
    "DDD": "%j",
    "HH24": "%H",
    "HH12": "%I",
    "HH": "%I",
    "MI": "%M",
    "SS": "%S",
    "MS": "%g",
    "US": "%f",
    "AM": "%p",
    "PM": "%p",
    "DY": "%a",
    "DAY": "%A",
}


def to_time(pattern: str) -> str:
    """Returns strptime's format for TO_DATE and TO_TIMESTAMP."""
    out = ""
    for kind, value in _pieces(pattern):
        if kind == "FM":
            raise unsupported(f"the format '{pattern}' with FM")
        if kind == "text":
            out += value.replace("%", "%%")
        elif value.upper() in _PARSED:
            out += _PARSED[value.upper()]
        else:
            raise unsupported(f"the format '{pattern}' with {value}")
    return out
