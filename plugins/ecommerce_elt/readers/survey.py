"""The findings of the first reading of a file, and the decisions on its date order and decimal marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ecommerce_elt.readers.blocks import BLOCK_ROWS
from ecommerce_elt.readers.dates import DateEvidence
from ecommerce_elt.readers.decimal_marks import ANSWERS, Mark, MarkEvidence
from ecommerce_elt.readers.headers import Headers
from ecommerce_elt.readers.open_questions import OpenQuestionError
from ecommerce_elt.readers.surroundings import LeftOut


@dataclass(frozen=True)
class Survey:
    """The findings of the first reading of the file."""

    kind: str
    data_set: str
    rows: int
    keys: tuple[str, ...]
    date_order: str
    decimal_marks: dict[str, Mark]  # by key, of decimal columns that contain commas
    left_out: dict[str, LeftOut]
    encoding: str = ""
    delimiter: str = ""
    sheet: str | None = None
    header_at: int = 1  # line or row of the header
    width: int = 0  # number of columns of the header, including blank ones
    blank_columns: tuple[int, ...] = ()  # positions of columns without a name and without values
    uneven_rows: int = 0
    has_wide_rows: bool = False  # whether some rows have more cells than the header
    formulas_without_value: int = 0
    skipped: Sequence[int] = ()  # lines of repeated headers, totals and blank rows
    block_rows: int = BLOCK_ROWS
    filled_down: dict[str, int] = field(default_factory=dict)  # key to number of values filled down

    @property
    def blank_lines(self) -> int:
        return self.left_out["blank"].rows if "blank" in self.left_out else 0


class Evidence:
    """The evidence for the date order and the decimal marks of a file. What the user says overrides it.

    Args:
        headers: with the name of the file, the contract and the flags.
        keys: the keys of the columns.

    Attributes:
        dates: the evidence for the date order.
        marks: the evidence for the decimal mark of each decimal column, by key.
    """

    def __init__(self, headers: Headers, keys: Iterable[str]) -> None:
        self.name, self.flags = headers.name, headers.flags
        is_shown = not headers.contract.is_personal
        self.columns = {column.header: column for column in headers.contract.columns if column.decimal}
        self.dates = DateEvidence(headers.time_key, is_shown)
        self.marks = {key: MarkEvidence(key, is_shown) for key in keys if key in self.columns}

    def date_order(self) -> str:
        """Returns the date order as in `DateEvidence.order`."""
        try:
            return self.flags.date_order or (self.dates.order() if self.dates.values else "ymd")
        except OpenQuestionError as question:
            raise question.of(self.name) from None

    def decimal_marks(self) -> dict[str, Mark]:
        """Returns the decimal mark of each column that has commas, as in `MarkEvidence.mark`."""
        try:
            return {key: self._mark(key, found) for key, found in self.marks.items() if found.values["with_comma"]}
        except OpenQuestionError as question:
            raise question.of(self.name) from None

    def _mark(self, key: str, found: MarkEvidence) -> Mark:
        if self.flags.decimal_comma is not None:
            return "comma" if self.flags.decimal_comma else "point"
        column = self.columns[key]
        if not {"thousands", "decimal_comma"} & set(column.numbers):
            raise OpenQuestionError(
                f"column {key}: {found.values['with_comma']:,} numbers have a comma, first {found.at('with_comma')}. Pass ",
                ANSWERS,
                ": it is the decimal mark, or it separates thousands. Or let the contract say for all files what column "
                f"{column.name} takes: numbers: [thousands, decimal_comma]",
            )
        return found.mark()
