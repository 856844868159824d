"""Derives the type and the settings of a column from its values in a sample.

`Values` looks at each value once for all its questions, and is therefore not divided.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ecommerce_elt.cleaning.value_sql import BOOLEAN
from ecommerce_elt.feeds.contracts import MISSING, Column
from ecommerce_elt.feeds.dialects import DAMAGED, DECIMAL, EPOCH_DIGITS, INTEGER, OTHER_FORMATS, TIME, rewrites
from ecommerce_elt.readers.dates import DateEvidence, is_time
from ecommerce_elt.readers.decimal_marks import MarkEvidence
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.open_questions import OpenQuestionError
from ecommerce_elt.scaffold import words

STRAY_SHARE = 0.01  # largest share of values of another type; they are reported and will be rejected
WIDTHS = (
    16,
    32,
    64,
    128,
    256,
    512,
    1024,
    2048,
    4096,
    8192,
    16384,
    32768,
    65535,
)  # of a text, in bytes; the longest text seen fits twice
WORDS_MAX = 12  # distinct words of a column with accepted words
SEEN_OFTEN = 5  # smallest average number of occurrences of such a word
SCALE_MAX = 6  # more decimals indicate binary floats
PRECISION_MAX = 38
LARGEST = 2**31 - 1
CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "¥": "JPY",
    "₹": "INR",
    "zł": "PLN",
    "R$": "BRL",
    "₽": "RUB",
    "₺": "TRY",
    "CHF": "CHF",
    "Fr.": "CHF",
    "kr": "SEK",
    "Kč": "CZK",
    "A$": "AUD",
    "C$": "CAD",
    "₩": "KRW",
    "₪": "ILS",
}

_OTHER_CODES = """AED ARS BGN CLP CNY COP DKK EGP HKD HUF IDR ISK MXN MYR NGN NOK NZD PEN PHP PKR RON RSD SAR SGD THB TWD UAH VND ZAR"""
CODES = frozenset({*CURRENCIES.values(), *_OTHER_CODES.split()})

_CODE = re.compile(r"^\s*([A-Z]{3})\s?[-+(]?[0-9]|[0-9)-]\s?([A-Z]{3})\s*$")
_DATE = re.compile(
    r"([0-9]{1,4})([/.-])([0-9]{1,2})\2([0-9]{1,4})(?P<time> [0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(?P<half> ?[AaPp]\.?[Mm]\.?)?)?"
)
_NUMBERED = re.compile(r"#[A-Z]{0,4}-?[0-9]{2,}(-[A-Z0-9]{1,4})?")
_INTEGER, _DECIMAL, _TIME, _DAMAGED = (re.compile(p) for p in (INTEGER, DECIMAL, TIME, DAMAGED))


@dataclass
class Found:
    """One column of the contract.

    Attributes:
        header: the header in the sample.
        name: the name of the column in the contract.
        settings: the settings in the contract, in the order in which they are written.
        doubts: sentences about what to check, without values of the sample.
        filled: the number of rows with a value.
        rows: the number of rows.
        distinct: the number of distinct values.
    """

    header: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    filled: int = 0
    rows: int = 0
    distinct: int = 0
    currency: str = ""  # of its amounts, an ISO 4217 code
    longest: int = 0  # length of the longest value in bytes
    is_readable_time: bool = False  # the file reader can read its times, even without a format
    words: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return str(self.settings["type"])

    @property
    def is_personal(self) -> bool:
        return str(self.settings.get("privacy", "keep")) != "keep"

    @property
    def is_full(self) -> bool:
        return self.filled == self.rows

    @property
    def is_number(self) -> bool:
        return self.kind in {"integer", "bigint"} or self.kind.startswith("decimal")


class Values:
    """The values of one column, as texts."""

    def __init__(self, header: str, name: str, texts: Iterable[str | None], flags: Flags) -> None:
        found = list(texts)
        self.header, self.name, self.rows, self.flags = header, name, len(found), flags
        self.words, self.names_something = words.words_of(header), words.names_something(header)
        self.seen = Counter(text.strip() for text in found if text is not None and text.strip())
        self.blank = {form for word in MISSING for form in (word, word.lower(), word.upper(), word.capitalize())}
        self.unknown = {text for text in self.seen if text.lower() in words.UNKNOWN_VALUES or text in self.blank}
        self.counts = Counter({text: count for text, count in self.seen.items() if text not in self.unknown})
        self.total = sum(self.counts.values())

    def found(self) -> Found:
        """Returns the findings about the column. Raises OpenQuestionError if the values are ambiguous."""
        made = Found(
            self.header, self.name, filled=self.total, rows=self.rows, distinct=len(self.counts), words=self.words
        )
        made.longest = max((len(text.encode()) for text in self.counts), default=0)
        made.is_readable_time = bool(self.total) and self._all(is_time)
        for kind in (self._nothing, self._boolean, self._time, self._number, self._words, self._text):
            if settings := kind(made):
                made.settings = settings
                break
        if more := sorted(self.unknown - self.blank):
            made.settings["missing"] = [*MISSING, *more]
            made.doubts.append(f"{len(more)} words are taken for no value, such as those that say unknown")
        return made

    def _all(self, test: Any) -> bool:
        """Returns whether all values pass the test, except up to STRAY_SHARE of them."""
        return sum(count for text, count in self.counts.items() if not test(text)) <= STRAY_SHARE * self.total

    def share(self, test: Any) -> float:
        return sum(count for text, count in self.counts.items() if test(text)) / self.total if self.total else 0.0

    def _note_strays(self, made: Found, test: Any, what: str) -> None:
        if strays := sum(count for text, count in self.counts.items() if not test(text)):
            made.doubts.append(
                f"{strays:,} of {self.total:,} values are no {what}, and will be rejected with their rows"
            )

    # -- types --------------------------------------------------------------------------------------------------------

    def _nothing(self, made: Found) -> dict[str, Any]:
        if self.total:
            return {}
        made.doubts.append("has no value in the sample, so its type is a guess")
        return {"type": "string", "max_bytes": 256}

    def _boolean(self, _: Found) -> dict[str, Any]:
        lower = {text.lower() for text in self.counts}
        return (
            {"type": "boolean"}
            if lower <= BOOLEAN.keys() and not lower <= {"0", "1"} and len(lower) > 1
            else ({"type": "boolean"} if lower <= {"true", "false"} else {})
        )

    def _time(self, made: Found) -> dict[str, Any]:
        plain = {"type": "timestamp"}
        if self._all(lambda text: _is_read(plain, text)):
            self._note_strays(made, lambda text: _is_read(plain, text), "time")
            return plain
        names = self.words & words.TIMES and not self.names_something
        for name in EPOCH_DIGITS if names else ():
            fits = re.compile("[0-9]{{{},{}}}([.][0-9]*)?".format(*EPOCH_DIGITS[name])).fullmatch
            if self._all(fits) and self._all(lambda text: text[0] in "12" and len(text.partition(".")[0]) in {10, 13}):
                made.doubts.append("numbers that are read as times since 1970, because of the header")
                return {"type": "timestamp", "formats": [name]}
        for name, rewrite in OTHER_FORMATS.items():
            fits = re.compile(rewrite.pattern).fullmatch
            if self._all(fits) and (name != "YYYYMMDD" or (names and self._all(lambda text: text[:2] in {"19", "20"}))):
                self._note_strays(made, fits, "time of this format")
                return {"type": "timestamp", "formats": [name]}
        if self._all(_DATE.fullmatch) and self._all(is_time):
            return self._date(made)
        if made.is_readable_time:
            made.doubts.append(
                "holds times in a format that no setting reads, so the column is a text. As the event's time in files "
                "it is read"
            )
        return {}

    def _date(self, made: Found) -> dict[str, Any]:
        evidence = DateEvidence(self.header, is_shown=False)
        for line, (text, count) in enumerate(self.counts.items(), 1):
            evidence.add(line, text, count)
        try:
            order = self.flags.date_order or evidence.order()
        except OpenQuestionError:
            days = [found for text in self.counts if (found := _DATE.fullmatch(text))]
            if {d[2] for d in days} == {"."}:
                order = "dmy"
                made.doubts.append(
                    "days and months are both below 13; dates with points are taken for day.month.year. Else write M.D "
                    "for D.M in formats"
                )
            else:
                raise
        formats: dict[str, None] = {}
        for text in self.counts:
            if (found := _DATE.fullmatch(text)) and not _TIME.fullmatch(text):
                letters = {"m": "M", "d": "D", "y": "YYYY" if max(len(found[1]), len(found[4])) == 4 else "YY"}
                date = found[2].join(letters[letter] for letter in order)
                time = f" H:MM{' AM' if found['half'] else ''}" if found["time"] else ""
                formats[date + time] = None
        settings = {"type": "timestamp", "formats": list(formats)}
        return settings if self._all(lambda text: _is_read(settings, text)) else {}

    def _number(self, made: Found) -> dict[str, Any]:
        if self._all(_NUMBERED.fullmatch):  # such as the order #1001
            made.words |= {"order"}
            return self._identifier(made)
        if self._is_identifier():
            return self._identifier(made)
        signs = Counter[str]()
        for text, count in self.counts.items():
            signs.update(dict.fromkeys(_signs_of(text), count))
        codes = {CURRENCIES.get(sign, sign) for sign in signs}
        if len(codes) > 1 and all(_signs_of(text) for text in self.counts):
            made.doubts.append(
                f"amounts of {len(codes)} currencies: a column has one, so it is a text. Split it by currency"
            )
            return {}
        if len(codes) > 1:
            return {}
        marks = MarkEvidence(self.header, is_shown=False)
        texts = list(self.counts)
        marks.add(list(range(1, len(texts) + 1)), texts)
        currency = [*signs, *(codes - signs.keys())] if signs else []
        for numbers in self._dialects(marks):
            settings: dict[str, Any] = {
                "type": "decimal(38,9)",
                **({"numbers": numbers} if numbers else {}),
                **({"currency": currency} if currency else {}),
            }
            if self._all(lambda text, s=settings: _is_read(s, text)):
                return self._measured(made, settings, marks)
        return {}

    def _dialects(self, marks: MarkEvidence) -> Iterator[list[str]]:
        comma = self.flags.decimal_comma
        if comma is None and marks.values["with_comma"] and not all(map(_DECIMAL.fullmatch, self.counts)):
            try:
                comma = marks.mark() == "comma"
            except OpenQuestionError:
                if self._all(lambda text: bool(re.fullmatch(r"[^A-Za-z]{0,40}", text))):
                    raise
                comma = False
        if comma:
            yield from (["decimal_comma"], ["thousands", "decimal_comma"], ["thousands", "decimal_comma", "accounting"])
        else:
            yield from ([], ["thousands"], ["accounting"], ["thousands", "accounting"])

    def _measured(self, made: Found, settings: dict[str, Any], marks: MarkEvidence) -> dict[str, Any]:
        """Returns the settings of a type that fits the numbers, with its limits."""
        plain = [number for text in self.counts if (number := _plain(settings, text)) is not None]
        self._note_strays(made, lambda text: _is_read(settings, text), "number")
        before = max(len(number.lstrip("+-").partition(".")[0].lstrip("0")) for number in plain)
        fractions = [number.partition(".")[2] for number in plain]
        scale = max(map(len, fractions))
        is_whole = (
            "currency" not in settings
            and "decimal_comma" not in settings.get("numbers", ())
            and (scale == 0 or ({*fractions} <= {"", "0"} and not self.words & words.MONEY))
        )
        if is_whole and before > 18:
            return self._identifier(made)
        made.currency = next(
            (CURRENCIES.get(sign, sign) for sign in settings.get("currency", ())), _of_a_header(self.header)
        )
        low = (
            {}
            if any(n.startswith("-") for n in plain) or self.words & (words.QUANTITIES | words.MONEY) - words.PRICES
            else {"min": 0}
        )
        if is_whole and not self.words & words.MONEY:
            kind = "integer" if before <= 8 else "bigint"
            most = 10 ** min(max(before + 2, 6), 9 if kind == "integer" else 18)
            return {**settings, "type": kind, "min": low.get("min", -most), "max": most}
        if scale > SCALE_MAX:
            scale = 2 if self.words & words.MONEY else SCALE_MAX
            settings = {**settings, "round": "half_even"}
            made.doubts.append(f"has more than {SCALE_MAX} decimals, as binary floats have; it is rounded to {scale}")
        scale = max(scale, 2) if self.words & words.MONEY or "currency" in settings else max(scale, 1)
        if "decimal_comma" in settings.get("numbers", ()) and scale <= 2:
            settings["numbers"] = ["thousands", *(n for n in settings["numbers"] if n != "thousands")]
        most = 10 ** min(max(before + 2, 6), PRECISION_MAX - scale - 1)
        precision = min(max(12, len(str(most)) + scale), PRECISION_MAX)
        return {**settings, "type": f"decimal({precision},{scale})", "min": low.get("min", -most), "max": most}

    def _is_identifier(self) -> bool:
        """Returns whether the values are identifiers and not numbers, by leading zeros or by the header."""
        if self._all(str.isdigit) and any(len(text) > 1 and text[0] == "0" for text in self.counts):
            return True
        if not self.names_something or self.words & words.QUANTITIES or {"number", "of"} <= self.words:
            return False
        return self._all(
            lambda text: len(text) <= 128 and not re.search(r"[ ,]", text) and not re.search(r"[.][0-9]*[1-9]$", text)
        )

    def _identifier(self, made: Found) -> dict[str, Any]:
        if any(map(_DAMAGED.fullmatch, self.counts)):
            made.doubts.append("a spreadsheet shortened some of these numbers, as in 8.52E+04; their rows are rejected")
        return {"type": "identifier", "max_bytes": self.width()}

    def _words(self, made: Found) -> dict[str, Any]:
        spellings = Counter({text.casefold(): 0 for text in self.counts})
        is_category = self.words & words.CATEGORIES and not self.words & (words.PERSON - words.NOT_PERSON)
        if (
            not is_category
            or len(spellings) > WORDS_MAX
            or self.total < SEEN_OFTEN * len(spellings)
            or max(map(len, spellings)) > 40
        ):
            return {}
        if any(map(str.isdigit, spellings)):
            return {}
        accepted: dict[str, list[str]] = {}
        for text, _ in self.counts.most_common():
            word = next((known for known in accepted if known.casefold() == text.casefold()), None)
            if word is None:
                accepted[text] = []
            else:
                accepted[word].append(text)
        made.doubts.append(
            f"takes the {len(accepted)} words of the sample, and no other: drop `accepted` if there are more"
        )
        return {"type": "string", "accepted": accepted, "max_bytes": self.width()}

    def _text(self, made: Found) -> dict[str, Any]:
        if self.names_something and self._all(lambda text: " " not in text and len(text) <= 128):
            return self._identifier(made)
        if self._all(lambda text: text[:1] in "{[" and text[-1:] in "}]"):
            made.doubts.append("holds lists or objects, which are kept as JSON text")
        return {"type": "string", "max_bytes": self.width()}

    def width(self) -> int:
        longest = 2 * max((len(text.encode()) for text in self.counts), default=0)
        return next((width for width in WIDTHS if width >= longest), WIDTHS[-1])


def _of_a_header(header: str) -> str:
    """Returns the currency in a header, such as `Preis (€)` or `Price EUR`; empty if there is none."""
    parts = re.findall(r"[A-Za-z]+|[^\w\s]", header)
    return next((CURRENCIES.get(part, part) for part in parts if part in CURRENCIES or part in CODES), "")


def _signs_of(text: str) -> list[str]:
    """Returns the currency sign or code before or after a number, in a list that is empty without one."""
    if (found := _CODE.search(text)) and (found[1] or found[2]) in CODES:
        return [found[1] or found[2]]
    return next(
        (
            [sign]
            for sign in sorted(CURRENCIES, key=len, reverse=True)
            if re.fullmatch(rf"[+(-]?{re.escape(sign)} ?[-+(]?[0-9].*|.*[0-9)-][ \u00a0]?{re.escape(sign)}", text)
        ),
        [],
    )


def _column(settings: dict[str, Any]) -> Column:
    return Column(name="x", header="x", **settings)


def _plain(settings: dict[str, Any], text: str) -> str | None:
    """Returns the number in its plain form, as the cleaning reads it, or None if the text is not a number."""
    return found if _DECIMAL.fullmatch(found := _rewritten(settings, text)) else None


def _is_read(settings: dict[str, Any], text: str) -> bool:
    plain = _rewritten(settings, text)
    return bool((_TIME if settings["type"] == "timestamp" else _DECIMAL).fullmatch(plain))


def _rewritten(settings: dict[str, Any], text: str) -> str:
    for pattern, replacement in _compiled(repr(settings), settings):
        if found := pattern.fullmatch(text):
            text = found.expand(replacement)
    return text


_COMPILED: dict[str, list[tuple[re.Pattern[str], str]]] = {}


def _compiled(key: str, settings: dict[str, Any]) -> list[tuple[re.Pattern[str], str]]:
    if key not in _COMPILED:
        _COMPILED[key] = [(re.compile(r.pattern), r.replacement) for r in rewrites(_column(settings))]
    return _COMPILED[key]
