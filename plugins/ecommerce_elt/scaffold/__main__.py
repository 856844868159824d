"""Writes the contract and the test of a new feed from a sample: `python -m ecommerce_elt.scaffold reviews sample.csv`.

The sample is read by the reader of landed files, so any file that can be landed can be a sample. If it is ambiguous, an
error asks for a flag, as in `producer replay`. Before anything is written, the whole sample is read, and about
200,000 rows of each file at most are cleaned under the new contract, unless it has more than TRIED_COLUMNS columns.
The project gets no values of the sample, except words in a column's `accepted` or `missing`.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import NAME, load_contract, load_contracts, normalise_header
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.scaffold import made_up
from ecommerce_elt.scaffold.contract_file import ContractFile, contract_of, order_of, roles_of, singular
from ecommerce_elt.scaffold.sales import is_currency, sale_of
from ecommerce_elt.scaffold.sample import Sample, as_text, read_sample
from ecommerce_elt.scaffold.trial import Trial, trial
from ecommerce_elt.scaffold.values import Found
from ecommerce_elt.settings import PROJECT_DIR

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
REASONS_SHOWN = 5
READY_SHARE = 0.7  # smallest share of a ready contract's columns that a sample must have
TRIED_COLUMNS = 300


def _fail(message: object) -> None:
    typer.echo(f"scaffold: {message}", err=True)
    raise typer.Exit(1)


@app.command()
def scaffold(
    feed: Annotated[str, typer.Argument(help="The feed's name: lower case, digits and _; it names its tables.")],
    sample: Annotated[Path, typer.Argument(help="CSV, workbook, JSON or Parquet, packed or not; or a zip of them.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a contract and a test that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the contract, and write nothing.")] = False,
    currency: Annotated[str | None, typer.Option(help="Of all amounts, where the sample does not say it: EUR.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a file that is not UTF-8 or UTF-16.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="If none of , ; tab | splits the header.")] = None,
    date_order: Annotated[str | None, typer.Option(help="mdy, dmy or ymd, where the dates fit several.")] = None,
    decimal_comma: Annotated[
        bool | None,
        typer.Option(
            "--decimal-comma/--decimal-point",
            help="1,500 is one and a half, or one thousand five hundred.",
            show_default="by the file",
        ),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a workbook with several tables.")] = None,
    project: Annotated[Path, typer.Option(help="Where include/ and tests/ are.")] = PROJECT_DIR,
) -> None:
    """Write the contract of a new feed after a sample of its files, and a test with made-up rows."""
    if date_order and date_order not in {"mdy", "dmy", "ymd"}:
        _fail(f"--date-order {date_order}: expected mdy, dmy or ymd")
    if currency and not is_currency(currency):
        _fail(f"--currency {currency}: expected three capitals, as ISO 4217 has them: EUR")
    contract_path, test_path = project / f"include/feeds/{feed}.yaml", project / f"tests/feeds/test_{feed}.py"
    try:
        if not (force or dry_run) and (there := [str(path) for path in (contract_path, test_path) if path.exists()]):
            _fail(f"{' and '.join(there)}: already there. Pass --force to write over it, or choose another name")
        _check_name(feed, project)
        flags = Flags(encoding, delimiter, date_order, decimal_comma, sheet)
        with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
            found = read_sample(sample, flags, Path(folder))
            made, test, tried = _make(feed, sample, found, flags, currency, Path(folder), project)
    except PermanentError as error:
        _fail(error)
    if dry_run:
        typer.echo(made.text, nl=False)
    else:
        for path, text in ((contract_path, made.text), (test_path, test)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        _list_in_openapi(project)
    for name in _ready(found, project):
        typer.echo(
            f"include/feeds/ready/{name}.yaml is a contract for such files, made by hand: docs/shops.md", err=dry_run
        )
    _report(made, found, tried, contract_path, test_path, is_dry=dry_run)


def _check_name(feed: str, project: Path) -> None:
    if not NAME.match(feed) or feed in feed_sql.reserved_words():
        raise PermanentError(
            f"feed {feed!r}: expected a name of lower-case letters, digits and _, that begins with a letter and is no "
            "word of SQL: reviews"
        )
    fact = f"core.fact_{singular(feed)}"
    for path in (project / "include/feeds").glob("*.yaml"):
        if path.stem != feed and fact in load_contract(path).tables:
            raise PermanentError(
                f"feed {feed!r}: its table would be {fact}, which feed {path.stem} has. Choose another name"
            )


def _make(
    feed: str, path: Path, sample: Sample, flags: Flags, currency: str | None, folder: Path, project: Path
) -> tuple[ContractFile, str, Trial | None]:
    roles = roles_of(sample, _repeated(sample), _once_an_order(sample))
    plays, unsure = sale_of(sample, currency)
    made = contract_of(feed, sample, roles, f"{sample.readings[0].survey.kind} of {len(sample.keys)} columns", plays)
    if unsure:
        line = next((n for n, text in enumerate(made.lines, 1) if text.startswith("  sale:")), 1)
        made.doubts += [(line, doubt) for doubt in unsure]
    (folder / "feeds").mkdir()
    draft = folder / "feeds" / f"{feed}.yaml"
    draft.write_text(made.text, "utf-8")
    contract = load_contract(draft)
    feed_sql.check(contract, project / "include/sql")
    if len(sample.keys) > TRIED_COLUMNS:
        line = next(n for n, text in enumerate(made.lines, 1) if text == "columns:")
        doubt = (
            f"has {len(sample.keys)} columns, so the sample was not tried: to plan the cleaning of so many takes long, for each "
            "batch, too. Leave out what nobody needs; a key that no column has is kept in extra"
        )
        made.doubts.append((line, doubt))
        return made, made_up.test_of(feed, sample, roles), None
    return made, made_up.test_of(feed, sample, roles), trial(path, contract, flags, include=project / "include")


def _once_an_order(sample: Sample) -> list[Found]:
    """Returns the non-numeric columns that have a value only on the first row of an order."""
    order = order_of(sample)
    left = {c.header: c for c in sample.columns if not c.is_full and c.filled and not c.is_number}
    others, before = 0, None
    for each in sample.readings if order else ():
        for row in each.file.rows(each.survey):
            number = row.data.get(order.header) if order else None
            if number == before:
                others += 1
                left = {header: column for header, column in left.items() if not row.data.get(header)}
            before = number
    return list(left.values()) if others > 1 else []


def _ready(sample: Sample, project: Path) -> list[str]:
    """Returns the names of the product's ready contracts that fit files with these headers."""
    found, headers = [], {normalise_header(key) for key in sample.keys}
    for path in sorted((project / "include/feeds/ready").glob("*.yaml")):
        columns = load_contract(path).columns
        there = [c for c in columns if headers & {normalise_header(header) for header in c.headers}]
        if len(there) > READY_SHARE * len(columns) and all(c in there for c in columns if c.required):
            found.append(path.stem)
    return found


def _repeated(sample: Sample) -> int:
    """Returns the number of rows that repeat an earlier row in all columns that are not personal."""
    keys = [column.header for column in sample.columns if not column.is_personal]
    counted = Counter(
        hash(tuple(as_text(row.data.get(key)) for key in keys))
        for each in sample.readings
        for row in each.file.rows(each.survey)
    )
    return sum(counted.values()) - len(counted)


def _list_in_openapi(project: Path) -> None:
    """Writes the names of all feeds to the OpenAPI document of the HTTP API."""
    path = project / "docs/openapi.yaml"
    if path.exists():
        feeds = ", ".join(load_contracts(project / "include/feeds"))
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"(    Feed:\n      enum: )\[[^]]*\]", rf"\1[{feeds}]", text), "utf-8")


def _report(
    made: ContractFile, sample: Sample, tried: Trial | None, contract: Path, test: Path, *, is_dry: bool
) -> None:
    left_out = Counter[str]()
    for reading in sample.readings:
        left_out.update({kind: of.rows for kind, of in reading.survey.left_out.items()})
    beside = "".join(f", {count:,} {kind.replace('_', ' ')} rows left out" for kind, count in left_out.items())
    looked = f", the first {sample.looked_at:,} looked at" if sample.looked_at < sample.rows else ""
    typer.echo(f"sample: {sample.rows:,} rows of {len(sample.keys)} columns{looked}{beside}", err=is_dry)
    if tried:
        _report_trial(tried, is_dry=is_dry)
    if made.doubts:
        typer.echo("look at:", err=is_dry)
        for line, doubt in sorted(made.doubts):
            typer.echo(f"  {contract}:{line}: {doubt}", err=is_dry)
    if not is_dry:
        typer.echo(
            f"wrote {contract} and {test}\nnext: make up (again, if the stack runs), then drop files into landing/{made.feed}/"
        )


def _report_trial(tried: Trial, *, is_dry: bool) -> None:
    typer.echo(f"under the contract {tried.rows - tried.rejected_rows:,} of {tried.rows:,} rows are clean", err=is_dry)
    for (column, rule), count in tried.rejected.most_common(REASONS_SHOWN):
        typer.echo(f"  rejected: {count:,} rows, {column}: {rule}", err=is_dry)


if __name__ == "__main__":
    app()
