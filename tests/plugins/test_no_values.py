"""No message, traceback or log line holds what a person's record says, whatever kind of error reading it raises."""

import ast
import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import traceback
import zipfile
from decimal import Decimal

import botocore.exceptions
import botocore.session
import duckdb
import orjson
import pyarrow as pa
import pydantic
import pytest
from airflow.sdk import DAG
from ecommerce_elt.airflow import decorators
from ecommerce_elt.batches import raw_records
from ecommerce_elt.cleaning.cleaner import run_cleaning
from ecommerce_elt.errors import PermanentError, WithheldError, printable, redacted, values_withheld, without_values
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from ecommerce_elt.warehouse.redshift import Warehouse
from python_calamine import CalamineError
from structlog.tracebacks import ExceptionDictTransformer

from tests.conftest import PROJECT
from tests.support.cleaning_bench import line
from tests.support.spreadsheets import as_sheets

MARK = "Quirinius"
PHONE = "867-5309"
HEADER = ["Name", "Address", "Phone", "Age", "Gender", "Product Name", "Amount", "Purchase Date"]
PERSON = [
    f"{MARK} Zzyzx",
    "1 Zzyzx Road, Marktown, NY 10001",
    f"(555) {PHONE}",
    "36",
    "Female",
    "Novel",
    "9.50",
    "2026-02-03 10:00:00",
]
MARKS = (MARK, "Zzyzx", "Marktown", PHONE)


def shown(error):
    """All that printers of errors print of it: Python's traceback, and Airflow's log of a task."""
    told = [str(error), repr(error), *traceback.format_exception(error)]
    told.append(
        json.dumps(ExceptionDictTransformer(show_locals=False)((type(error), error, error.__traceback__)), default=str)
    )
    return "".join(told)


def marks_in(text):
    return [mark for mark in MARKS if mark in text]


def chained():
    try:
        int(MARK)
    except ValueError as error:
        raise PermanentError("line 3: expected a number") from error


def in_context():
    try:
        json.loads(f'{{"Name": {MARK}}}')
    except ValueError:
        raise PermanentError("line 3: expected JSON")  # noqa: B904  # as careless code does


def with_a_note():
    error = TypeError("expected a text")
    error.add_note(f"of {MARK}")
    raise error


def of_a_dict(error):
    def fail():
        raise error

    return fail


class Model(pydantic.BaseModel):
    age: int


RAISED = {
    "unicode_decode": lambda: f"{MARK} José".encode("cp1252").decode("utf-8"),
    "unicode_encode": lambda: f"{MARK} \ud800".encode(),
    "json": lambda: json.loads(f'{{"Name": "{MARK}'),
    "orjson": lambda: orjson.loads(f'{{"Name": {MARK}}}'),
    "int": lambda: int(MARK),
    "float": lambda: float(MARK),
    "decimal": lambda: Decimal(MARK),
    "key": lambda: {}[MARK],
    "pydantic": lambda: Model.model_validate({"age": MARK}),
    "pydantic_key": lambda: pydantic.TypeAdapter(dict[str, int]).validate_python({MARK: "x"}),
    "duckdb_cast": lambda: duckdb.sql(f"SELECT CAST('{MARK}' AS INTEGER)").fetchall(),
    "duckdb_date": lambda: duckdb.sql(f"SELECT CAST('{MARK}' AS TIMESTAMP)").fetchall(),
    "duckdb_json": lambda: duckdb.sql(f"""SELECT CAST('{{"Name": {MARK}}}' AS JSON)""").fetchall(),
    "duckdb_error": lambda: duckdb.sql(f"SELECT error('{MARK}')").fetchall(),
    "duckdb_parser": lambda: duckdb.sql(f"SELECT '{MARK}"),
    "pyarrow_cast": lambda: pa.array([MARK]).cast(pa.int64()),
    "pyarrow_parse": lambda: pa.array([MARK]).cast(pa.timestamp("us")),
    "pyarrow_type": lambda: pa.array([1, MARK]),
    "calamine": of_a_dict(CalamineError(f"Unsupported cell error value '{MARK}'")),
    "gzip": lambda: gzip.decompress(MARK.encode()),
    "csv": lambda: list(csv.reader(io.StringIO(f'"{MARK}'), strict=True)),
    "boto_parameters": lambda: (
        botocore.session.get_session()
        .create_client("kinesis", region_name="us-east-1")
        .put_records(StreamName="s", Records=[{"Data": {"Name": MARK}}])
    ),
    "boto_validation": of_a_dict(
        botocore.exceptions.ClientError(
            {"Error": {"Code": "ValidationException", "Message": f"Value '{MARK}' at 'records.1.member.data'"}},
            "PutRecords",
        )
    ),
    "chained": chained,
    "context": in_context,
    "note": with_a_note,
    "group": of_a_dict(ExceptionGroup(f"of {MARK}", [ValueError(MARK)])),
    "spark": of_a_dict(
        type("Py4JJavaError", (Exception,), {"__module__": "py4j.protocol"})(
            f"org.apache.spark.SparkNumberFormatException: [CAST_INVALID_INPUT] The value '{MARK}' of the type"
        )
    ),
}
# Their own texts never quote; here for the day on which they do.
QUOTE_NOTHING = {"decimal", "csv", "unicode_encode", "gzip", "context"}


@pytest.mark.parametrize("kind", RAISED)
def test_what_leaves_a_task_quotes_nothing(kind, caplog):
    with pytest.raises(Exception) as raw:  # noqa: PT011  # any
        RAISED[kind]()
    if kind not in QUOTE_NOTHING:
        held = shown(raw.value) + str(vars(raw.value)) + str(getattr(raw.value, "object", b""))
        assert MARK in held + str(getattr(raw.value, "doc", "")), "the case is none"
    with pytest.raises(Exception) as raised, values_withheld():  # noqa: PT011
        RAISED[kind]()
    error = raised.value
    try:
        raise error
    except Exception:
        logging.getLogger("task").exception("failed: %r", error)
    assert marks_in(shown(error) + caplog.text) == []
    assert RAISED[kind].__code__.co_filename in shown(error), "where it happened is no longer told"


def test_what_is_said_helps():
    def of(kind):
        with pytest.raises(Exception) as raised:  # noqa: PT011
            RAISED[kind]()
        return without_values(raised.value)

    assert of("unicode_decode") == "no utf-8 at byte 13: unexpected end of data"
    assert of("json") == "no JSON at line 1 column 10: Unterminated string starting at"
    assert of("boto_validation") == "AWS answered ValidationException to PutRecords"
    assert of("pydantic") == "ValidationError: int_parsing"
    assert of("spark") == "Py4JJavaError [CAST_INVALID_INPUT]"
    assert of("duckdb_cast") == "ConversionException"
    denied = {
        "Error": {"Code": "AccessDeniedException", "Message": "User: arn is not authorized to perform: s3:GetObject"}
    }
    assert "s3:GetObject" in without_values(botocore.exceptions.ClientError(denied, "GetObject"))
    assert without_values(PermanentError("line 3")) == "line 3"


def test_an_error_that_is_free_of_values_stays_itself():
    error = PermanentError("shop.csv: line 3")
    assert printable(error) is error
    with pytest.raises(FileNotFoundError, match="no such file"), values_withheld():
        raise FileNotFoundError(2, "no such file", "shop.csv")
    with pytest.raises(WithheldError, match="^KeyError$"), values_withheld():
        raise KeyError(MARK)


DECORATORS = {"task": decorators.task, "short": decorators.short_circuit_task, "linked": decorators.linked_task}


@pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)
def test_a_decorator_of_tasks_withholds_values(decorator):
    def fail(text):
        """Is not shown."""
        raise ValueError(text)

    for made in (decorator(fail), decorator(retries=1)(fail)):
        with pytest.raises(WithheldError, match="^ValueError$") as raised:
            made.function(MARK)
        assert marks_in(shown(raised.value)) == []
        with DAG("none", schedule=None):
            operator = made(MARK).operator
        assert (operator.task_id, operator.doc_md, operator.multiple_outputs) == ("fail", None, False)


def test_every_task_is_kept_from_letting_values_out():
    package = PROJECT / "plugins/ecommerce_elt"
    for module in sorted(package.glob("*/tasks.py")):
        tree = ast.parse(module.read_text())
        names = {
            name.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == "ecommerce_elt.airflow.decorators"
            for name in node.names
        }
        tasks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        assert tasks
        used = {t.name: {ast.unparse(d).partition("(")[0] for d in t.decorator_list} for t in tasks}
        assert [name for name, decorated in used.items() if not decorated <= names or not decorated] == []


def test_what_operators_call_is_kept_from_letting_values_out():
    package = PROJECT / "plugins/ecommerce_elt"
    called = {
        "cleaning/task_cleaning.py": {"needs_glue"},
        "load/batch_load.py": {"load_batch"},
        "marts/operators.py": {"find_stale_subjects", "seconds_to_the_turn_of_marts"},
    }
    for path, names in called.items():
        functions = [node for node in ast.parse((package / path).read_text()).body if isinstance(node, ast.FunctionDef)]
        withheld = {f.name for f in functions if "values_withheld()" in map(ast.unparse, f.decorator_list)}
        assert withheld == names


# -- files ------------------------------------------------------------------------------------------------------------


def text_of(*rows, header=HEADER, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([header, *rows] if header else rows)
    return out.getvalue()


def changed(**changes):
    return [changes.get(name.split()[0].lower(), value) for name, value in zip(HEADER, PERSON, strict=True)]


def with_part(body, name, old, new):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(out, "w") as target:
        for part in source.namelist():
            content = source.read(part)
            assert part != name or old in content
            target.writestr(part, content.replace(old, new) if part == name else content)
    return out.getvalue()


GOOD = text_of(PERSON, PERSON)
ONE_SHEET = as_sheets({"Sheet1": [HEADER, PERSON]})
SHEET, AGE = "xl/worksheets/sheet1.xml", b't="inlineStr"><is><t>36</t></is>'
TOO_LONG = text_of(PERSON, changed(address=f"{MARK} Road " * 150_000))
FILES = {
    "cp1252": (
        "a.csv",
        GOOD.replace("Zzyzx,", "Zzyzx José,").encode("cp1252"),
        {},
        "line 2 is not UTF-8. Pass --encoding .* look at it in the file",
    ),
    "wrong_encoding": (
        "a.csv",
        GOOD.replace("Zzyzx,", "Zzyzx Jos\u00e9,").encode("utf-16"),
        {"encoding": "ascii"},
        "line 1: not ascii: no ascii at byte 0",
    ),
    "torn_utf16": ("a.csv", GOOD.encode("utf-16")[:-1], {}, "not utf-16"),
    "late_wrong_encoding": (
        "a.csv",
        (text_of(*[PERSON] * 2000) + "Zzyzx José").encode("cp1252"),
        {"encoding": "utf-8"},
        "after line .*: not utf-8: ",
    ),
    "open_quote": ("a.csv", (GOOD + f'"{MARK} Zzyzx,1 Road').encode(), {}, "line 4: .*Is a quote open"),
    "quote_inside": ("a.csv", (GOOD + f'"{MARK}" Zzyzx,1 Road').encode(), {}, "line 4: .*Is a quote open"),
    "too_long": ("a.csv", TOO_LONG.encode(), {}, "line 3: is longer than 1,048,576 characters"),
    "too_long_header": ("a.csv", (f"{MARK} " * 150_000).encode(), {}, "line 1: is longer than 1,048,576 characters"),
    "no_header": ("a.csv", text_of(PERSON, PERSON, header=None).encode(), {}, "line 1 has no column .*is it a header"),
    "no_header_spelt_like_one": (
        "a.csv",
        (text_of(changed(name="Phone"), header=None)).encode(),
        {},
        "line 1 has no column",
    ),
    "header_and_row_on_a_line": (
        "a.csv",
        GOOD.replace("Date\r\n", "", 1).encode(),
        {},
        "7 of its 15 fields are names that the feed knows: is it a header",
    ),
    "torn_header": (
        "a.csv",
        text_of(PERSON, header=[*HEADER[:-1], f"{MARK}'s Date"]).encode(),
        {},
        "fields 8 have other names",
    ),
    "column_twice": (
        "a.csv",
        text_of([*PERSON, "x"], header=[*HEADER, "name"]).encode(),
        {},
        "two columns are read as Name",
    ),
    "other_delimiter": ("a.csv", text_of(PERSON, delimiter="~").encode(), {}, "line 1 has no column"),
    "torn_gzip": ("a.csv.gz", gzip.compress(GOOD.encode())[:-12], {}, "cannot be unpacked: Compressed file ended"),
    "broken_gzip": (
        "a.csv.gz",
        gzip.compress(text_of(*[PERSON] * 99).encode(), 0)[:-30] + b"x" * 30,
        {},
        "cannot be unpacked",
    ),
    "torn_bz2": ("a.csv.bz2", bz2.compress(GOOD.encode())[:-9], {}, "cannot be unpacked: Compressed file ended"),
    "torn_xz": ("a.csv.xz", lzma.compress(GOOD.encode())[:-9], {}, "cannot be unpacked: Compressed file ended"),
    "dates_of_two_orders": (
        "a.csv",
        text_of(changed(purchase="13/1/2026"), changed(purchase="1/13/2026")).encode(),
        {},
        "first line 3; .*first line 2",
    ),
    "dates_of_any_order": (
        "a.csv",
        text_of(changed(purchase="1/2/2026")).encode(),
        {},
        "e.g. line 2. Pass --date-order",
    ),
    "thousands_or_decimals": (
        "a.csv",
        text_of(changed(amount=f"1,234 {MARK}")).encode(),
        {},
        "column Amount: .*first line 2, and",
    ),
    "both_marks": (
        "a.csv",
        text_of(changed(amount=f"1,23 {MARK}"), changed(amount="1.23")).encode(),
        {},
        "column Amount: .*first line 2, and",
    ),
    "torn_json": ("a.json", b'{"Name": "Zzyzx", "Phone": "Quirinius" "x"}', {}, "line 1: no JSON at its character"),
    "no_object": ("a.json", b'["Zzyzx"]', {}, "record 1: is no object"),
    "other_keys": ("a.json", b'{"Zzyzx": 1, "Quirinius": 2, "Name": 3, "Phone": 4}', {}, "no record has a key"),
    "torn_parquet": ("a.parquet", b"PAR1Zzyzx QuiriniusPAR1", {}, "cannot be read as Parquet: Arrow"),
    "torn_workbook": ("a.xlsx", ONE_SHEET[:-99], {}, "cannot be read as a workbook"),
    "broken_xml": (
        "a.xlsx",
        with_part(ONE_SHEET, SHEET, b"</row>", b"</Zzyzx></row>"),
        {},
        "cannot be read as a workbook: XmlError",
    ),
    "broken_entity": (
        "a.xlsx",
        with_part(ONE_SHEET, SHEET, b"<t>36", b"<t>&Quirinius;"),
        {},
        "cannot be read as a workbook: XmlError",
    ),
    "broken_cell": (
        "a.xlsx",
        with_part(ONE_SHEET, SHEET, AGE, b't="b"><v>Quirinius</v>'),
        {},
        "cannot be read as a workbook: CalamineError",
    ),
    "broken_cell_type": (
        "a.xlsx",
        with_part(ONE_SHEET, SHEET, AGE, b't="Quirinius"><v>1</v>'),
        {},
        "cannot be read as a workbook: CalamineError",
    ),
    "two_sheets": (
        "a.xlsx",
        as_sheets({MARK: [HEADER, PERSON], "Zzyzx": [HEADER, PERSON]}),
        {},
        r"sheets \['no. 1', 'no. 2'\] have the columns",
    ),
    "no_such_sheet": (
        "a.xlsx",
        as_sheets({MARK: [HEADER, PERSON]}),
        {"sheet": "other"},
        r"no sheet 'other'; it has \['no. 1'\]",
    ),
    "empty_sheet": ("a.xlsx", as_sheets({MARK: []}), {"sheet": MARK}, "sheet 'no. 1' is empty"),
    "headless_sheet": (
        "a.xlsx",
        as_sheets({"Sheet1": [PERSON, PERSON]}),
        {"sheet": "Sheet1"},
        "no column .*is it a header",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_people_that_cannot_be_read_is_told_by_place(tmp_path, contracts, case, caplog):
    name, body, flags, says = FILES[case]
    path = tmp_path / name
    path.write_bytes(body)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PermanentError, match=f"{name}: .*{says}") as raised:  # noqa: PT012
        source = TabularFile(path, contracts["purchases"], Flags(**flags))
        list(source.rows(source.survey()))
    assert marks_in(shown(raised.value) + caplog.text) == []


def test_a_sheet_named_after_a_person_is_told_by_its_number(tmp_path, contracts):
    path = tmp_path / "a.xlsx"
    path.write_bytes(as_sheets({"Notes": [["x"]], MARK: [HEADER, PERSON]}))
    source = TabularFile(path, contracts["purchases"], Flags())
    survey = source.survey()
    assert (source.layout(survey), survey.data_set[64:]) == ("sheet no. 2", "/no. 2")
    assert [row.data["Name"] for row in source.rows(survey)] == [PERSON[0]]


# -- raw objects and the warehouse ------------------------------------------------------------------------------------

PURCHASE = line("purchases", dict(zip(HEADER, PERSON, strict=True)))


def raised_by(read):
    try:
        read()
    except PermanentError as error:
        return error
    return None


OBJECTS = {
    "torn_json": PURCHASE[:-40],
    "no_json": f"{MARK} Zzyzx, (555) {PHONE}".encode(),
    "word": PURCHASE.replace(b'"36"', MARK.encode()),
    "nan": PURCHASE.replace(b'"36"', b"NaN").replace(b'"schema_version": 1', b'"schema_version": "Zzyzx"'),
    "version_is_a_name": PURCHASE.replace(b'"schema_version": 1', f'"event_version": "{MARK}"'.encode()),
    "version_of_33_bits": PURCHASE.replace(b'"schema_version": 1', b'"event_version": 8675309867530'),
    "array": b"[" + PURCHASE + b"]",
    "text": json.dumps(MARK).encode(),
    "cp1252": PURCHASE.replace(b"Zzyzx", "Zzyzx José".encode("cp1252")),
    "half_a_pair": PURCHASE.replace(b"Zzyzx", rb"Zzyzx \ud800"),
    "digits": PURCHASE.replace(b'"36"', b"9" * 5000).replace(
        b'"schema_version": 1', b'"event_version": ' + b"9" * 5000
    ),
    "nested": PURCHASE.replace(b'"36"', b'{"a":' * 200_000),
}
KEY = "raw/feed=purchases/dt=2026-02-03/hour=00/x.jsonl.gz"
DUCKDB_READS = {"nan", "half_a_pair", "array", "text"}
PYTHON_READS = {"nan"}


@pytest.mark.parametrize("case", OBJECTS)
def test_a_raw_object_that_duckdb_cannot_read(tmp_path, config, contracts, case):
    path = tmp_path / "000001.jsonl.gz"
    path.write_bytes(gzip.compress(PURCHASE + b"\n" + OBJECTS[case] + b"\n"))

    def read():
        with duckdb.connect() as engine:
            run_cleaning(engine, {KEY: path}, "purchases", contracts["purchases"], config)
            engine.execute("SELECT * FROM cleaned").fetchall()

    if (error := raised_by(read)) is None:
        assert case in DUCKDB_READS
        return
    assert marks_in(shown(error)) == []
    assert "feed purchases: a raw object holds no JSON lines: " in str(error)
    assert KEY in str(error)
    assert str(tmp_path) not in str(error)


@pytest.mark.parametrize("case", OBJECTS)
def test_a_raw_object_that_spark_cannot_read(contracts, case):
    body = io.BytesIO(gzip.compress(PURCHASE + b"\n" + OBJECTS[case] + b"\n"))
    error = raised_by(lambda: list(raw_records._events_of(body, KEY, contracts["purchases"].known_keys)))
    if error is None:
        assert case in PYTHON_READS
        return
    assert marks_in(shown(error)) == []
    assert f"a raw object holds no JSON lines: {KEY} line 2: " in str(error)


@pytest.mark.parametrize("cut", [20, 60])
def test_a_raw_object_that_breaks_off(contracts, cut):
    body = io.BytesIO(gzip.compress(b"\n".join([PURCHASE] * 50))[:-cut])
    with pytest.raises(PermanentError, match="Compressed file ended") as raised:
        list(raw_records._events_of(body, KEY, contracts["purchases"].known_keys))
    assert marks_in(shown(raised.value)) == []


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (f'ERROR: invalid input syntax for integer: "{MARK} Zzyzx"', "invalid input syntax for integer: ---"),
        (f'ERROR: invalid input syntax for integer: "{MARK} "of" {PHONE}', "invalid input syntax for integer: ---"),
        (f"ERROR: Invalid digit, Value 'Q', Pos 0, Type: Integer Detail: {PHONE}", "Invalid digit, Value ---"),
        (f'ERROR: date/time field value out of range: "Zzyzx\n{MARK}"', "out of range: ---"),
        (
            f"ERROR: Load into table 'staging.purchases' failed.  Check 'sys_load_error_detail' system table for details. 555 {PHONE}",
            "Load into table 'staging.purchases' failed.  Check 'sys_load_error_detail' system table for details. ---",
        ),
        ('ERROR: invalid input syntax for integer: "I1: accepted 4 clean 3"', '"I1: accepted 4 clean 3"'),
        ('ERROR: relation "staging.purchases" does not exist', 'relation "staging.purchases" does not exist'),
    ],
)
def test_what_redshift_quotes_is_not_shown(reason, says):
    class Client:
        def describe_statement(self, **_):
            sql = "SELECT CAST('I1: accepted ' || x AS INTEGER) FROM staging.purchases"
            return {"Status": "FAILED", "Error": reason, "Id": "s-1", "QueryString": sql}

    with pytest.raises(PermanentError) as raised:
        Warehouse(Client(), "w", "d").wait("s-1")
    assert says in str(raised.value)
    assert marks_in(shown(raised.value)) == []
    assert "statement s-1: ERROR: " in str(raised.value)


def test_codes_urls_and_positions_stay():
    text = "ERROR:1023 in 's3://lake/clean/feed=purchases/dt=2026-02-03/x.parquet' Position: 15 code: 15001"
    assert redacted(text, known="") == text.replace("15001", "---")
