"""Text that is read by columns gives what it gives row by row: values, lines, times, ids and events."""

import csv
import io

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.landing.column_events import as_rows
from ecommerce_elt.landing.identity import FileIdentity, IdentityEngine
from ecommerce_elt.readers import columns, file_text
from ecommerce_elt.readers.columns import Columns, is_regular, parse
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.online_retail import INVOICE_HEADER as HEADER

ROW = ["536365", "85123A", "WHITE HEART", "6", "12/13/2010 8:26", "2.55", "17850", "United Kingdom"]
SENT_AT = "2026-01-01T00:00:00Z"


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(columns, "CHUNK_CHARS", 400)
    monkeypatch.setattr(columns, "OPEN_CHARS", 400)
    monkeypatch.setattr(file_text, "TEXT_BYTES", 64)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with IdentityEngine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


def text_of(*rows, header=HEADER, **dialect):
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerows([header, *rows])
    return out.getvalue()


def both(path, contract, engine, multiple=7, **flags):
    """Returns (blocks as they are by columns, what is read row by row, how many records were by columns), or the error."""
    source = TabularFile(path, contract, Flags(**flags))
    try:
        survey = source.survey()
        blocks = list(source.blocks(survey, multiple, by_columns=True))
    except PermanentError as error:
        return str(error), str(error), 0
    plain = [as_rows(block) if block.by_columns else block for block in blocks]
    found = [row for block in plain for row in zip(block.lines, block.values, block.times, strict=True)]
    done = 0
    for block in blocks:
        done += len(block.lines)
        assert done % multiple == 0 or done // multiple == (done - len(block.lines)) // multiple, (
            "a block has a border in it"
        )
    expected = [
        row for block in source.blocks(survey) for row in zip(block.lines, block.values, block.times, strict=True)
    ]
    envelopes = Envelopes(survey.keys, feed=contract.feed, version=contract.version)
    with FileIdentity(source, survey, engine=engine) as identity:
        by_rows = [
            (block.lines, source.encoded(block, ids, envelopes, SENT_AT)) for block, ids in identity.blocks(multiple)
        ]
    with FileIdentity(source, survey, engine=engine) as identity:
        by_columns = list(identity.encoded(multiple, envelopes, SENT_AT))
    assert [line for lines, _ in by_columns for line in lines] == [line for lines, _ in by_rows for line in lines]
    assert b"".join(body for _, body in by_columns) == b"".join(body for _, body in by_rows)
    return found, expected, sum(len(block.lines) for block in blocks if block.by_columns)


VALUE = st.text('ab ",;\n\r\t\x7f\\é£\u2028\U0001f600\x1f', max_size=6)
ROWS = st.lists(
    st.one_of(
        st.builds(lambda value, n: [*ROW[:2], value, str(n), *ROW[4:]], VALUE, st.integers(1, 3)),
        st.builds(lambda value: [*ROW[:4], "12/13/2010 8:2" + str(len(value)), *ROW[5:7], value], VALUE),
        st.just(ROW[:5]),
        st.just([*ROW, "more"]),
        st.just([*ROW, ""]),
        st.just([""] * 8),
        st.just([]),
        st.just(HEADER),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ROWS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(",;"),
)
def test_whatever_a_table_has(small_chunks, contracts, engine, tmp_path_factory, rows, end, quoting, delimiter):
    path = tmp_path_factory.mktemp("f") / "a.csv"
    path.write_text(text_of(ROW, *rows, lineterminator=end, quoting=quoting, delimiter=delimiter), newline="")
    found, expected, _ = both(path, contracts["online_retail"], engine)
    assert found == expected


LINE = st.text('ab"",\n\r \0', max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINE, max_size=12), st.booleans())
def test_whatever_a_text_has(small_chunks, contracts, engine, tmp_path_factory, lines, ends):
    """Quotation marks anywhere: the same rows, or the same error."""
    path = tmp_path_factory.mktemp("f") / "a.csv"
    good = ",".join(ROW)
    body = "\n".join(
        [",".join(HEADER), *(text for line in lines for text in (good, f"{','.join(ROW[:7])},{line}")), good]
    )
    path.write_text(body + "\n" * ends, newline="")
    contract = contracts["online_retail"]
    source = TabularFile(path, contract, Flags())
    expected = error = None
    try:
        expected = list(csv.reader(io.StringIO(body, newline=""), strict=True))[1:]
    except csv.Error as found:
        error = str(found)
    if error:
        with pytest.raises(PermanentError, match="line"):
            source.survey()
        return
    found, by_rows, _ = both(path, contract, engine)
    assert found == by_rows
    if isinstance(found, list):
        kept = [row for row in expected if any(value.strip() for value in row)]
        assert [values for _, values, _ in found] == [r[:8] if len(r) > 8 and not any(r[8:]) else r for r in kept]


def test_most_of_a_plain_file_is_by_columns(small_chunks, contracts, engine, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text_of(*[ROW] * 40, ["x"], *[[*ROW[:2], 'a "b", c', *ROW[3:]]] * 40))
    found, expected, by_columns = both(path, contracts["online_retail"], engine, multiple=1000)
    assert found == expected
    assert len(found) == 81
    assert by_columns > 60


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        pytest.param([[*ROW[:5], "2,55", *ROW[6:]], [*ROW[:5], "1.234,5", *ROW[6:]]] * 9, {}, id="decimal_comma"),
        pytest.param(
            [[*row, "", str(i)] for i, row in enumerate([ROW] * 20)],
            {"header": [*HEADER, "", "Index"]},
            id="blank_column",
        ),
        pytest.param([[ROW[7], *ROW[:7]]] * 20, {"header": [HEADER[7], *HEADER[:7]]}, id="other_order"),
        pytest.param([[*ROW[:2], "x" * 70_000, *ROW[3:]]] * 3, {}, id="text_that_no_column_holds"),
        pytest.param([[*ROW[:2], "a\x7fb", *ROW[3:]]] * 20, {}, id="mark_of_the_encoder"),
        pytest.param([[*ROW, "17851.0", ""]] * 20, {"header": [*HEADER, "Shop", "a\x7fkey"]}, id="mark_in_a_key"),
        pytest.param([[*ROW[:4], "", *ROW[5:]], *[ROW] * 20], {}, id="no_time"),
        pytest.param([[*ROW[:6], word, ROW[7]] for word in ("", "NaN", "17850.0", " 17850 ")] * 5, {}, id="dialects"),
    ],
)
def test_what_is_done_to_values(small_chunks, contracts, engine, tmp_path, rows, more):
    path = tmp_path / "a.csv"
    path.write_text(text_of(*rows, **more))
    found, expected, _ = both(path, contracts["online_retail"], engine)
    assert found == expected


def test_a_column_under_two_names(small_chunks, contracts, engine, tmp_path):
    """A file may have a column as the run names it, and as the contract does: where the one is empty, the other counts."""
    path = tmp_path / "a.csv"
    header = [*HEADER[:3], "Stueck", *HEADER[4:], "Qty"]
    path.write_text(text_of([*ROW, "9"], [*ROW[:3], "", *ROW[4:], "6"], [*ROW, "6"], header=header))
    source = TabularFile(path, contracts["online_retail"], Flags(columns={"Quantity": "Stueck"}))
    survey = source.survey()
    assert {"Quantity", "Qty"} < {*survey.keys}
    with FileIdentity(source, survey, engine=engine) as identity:
        assert identity.repeated == 2
    found, expected, _ = both(path, contracts["online_retail"], engine, columns={"Quantity": "Stueck"})
    assert found == expected


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a,b\n", True),
        ('"a",b\n', True),
        ('a,"b"', True),
        ('a,"b""c"\n', True),
        ('"""a""",""\n', True),
        ('a,"b,\nc"\r\n', True),
        ('a"b,c"d\n', False),
        ('a "b"\n', False),
        ('"a" ,b\n', False),
        ('"a""\n', False),
        ('""a"",b\n', False),
        ('a,"b"c"d"\n', False),
    ],
)
def test_quotation_marks_are_regular(text, is_one):
    assert is_regular(text.encode(), ",") is is_one


def test_what_cannot_be_by_columns():
    def parsed(body, row_bytes=100):
        return parse(body.encode(), ",", 2, 5, row_bytes, quotes=True)

    found = parsed('a,b\n"c,""d""",é')
    assert isinstance(found, Columns)
    assert (found.lines, found.rows()) == (range(5, 7), [["a", "b"], ['c,"d"', "é"]])
    assert found.slice(1, 2).rows() == [['c,"d"', "é"]]
    assert found.counted(0) == (["a", 'c,"d"'], [5, 6], [1, 1])
    for text in ("a,b\n\n", "a\n", "a,b,c\n", 'a,"b\nc"\n', "a,b\rc,d\n", "a,\0\n", "\ufeffa,b\n"):
        assert parsed(text) is None, text
    assert parsed("a," + "b" * 200 + "\n") is None
