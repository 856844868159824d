"""Data sets for learning, on the Redshift stand-in: nothing of after the cut-off, the same version for the same rows, nobody named."""

import csv
import gzip
import io
import json
import random
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest
from ecommerce_elt import listing
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.features import data_sets as features_data_sets
from ecommerce_elt.features import export as features_export
from ecommerce_elt.features import versions as features_versions
from ecommerce_elt.features.data_sets import CutOffs, Span
from ecommerce_elt.settings import settings
from more_itertools import batched

from tests.conftest import PROJECT
from tests.plugins.marts.test_marts import Shop, sale
from tests.support.feature_answers import FeatureAnswers

SQL = PROJECT / "include" / "sql"
NOW = datetime(2012, 1, 1, tzinfo=UTC)


def span(first, end):
    return Span(date.fromisoformat(first), date.fromisoformat(end), NOW)


def days(*texts):
    return tuple(date.fromisoformat(text) for text in texts)


# -- cut-offs -----------------------------------------------------------------------------------------------------------


def test_the_last_mondays_whose_labels_are_complete():
    chosen = features_data_sets.choose_cut_offs(span("2010-12-01", "2011-12-10"))
    assert chosen == CutOffs(days("2011-02-07", "2011-03-07"), *days("2011-06-06", "2011-09-05"), 90)
    assert chosen.labels_end <= date(2011, 12, 10)
    assert {day.weekday() for day, _ in chosen.parts()} == {0}
    # They change once a week.
    at = [
        features_data_sets.choose_cut_offs(span("2010-12-01", f"2011-12-{day:02}")).test.isoformat()
        for day in range(4, 13)
    ]
    assert at == ["2011-09-05"] * 7 + ["2011-09-12"] * 2


def test_long_data_have_no_more_than_six_cut_offs_to_train_on():
    chosen = features_data_sets.choose_cut_offs(span("2005-01-01", "2011-12-10"), 30)
    assert len(chosen.train) == 6
    assert chosen.train[-1] == chosen.validation - timedelta(days=35)


def test_data_that_are_too_short_say_how_long_they_must_be():
    with pytest.raises(features_data_sets.TooShortError, match=r"have 200 whole days, .* need at least 328"):
        features_data_sets.choose_cut_offs(span("2011-01-01", "2011-07-20"))
    features_data_sets.choose_cut_offs(span("2011-01-01", (date(2011, 1, 1) + timedelta(days=328 + 6)).isoformat()))


@pytest.mark.parametrize(
    ("given", "horizon", "said"),
    [
        pytest.param(["2011-06-01", "2011-09-01"], 90, "at least 3 days", id="too_few"),
        pytest.param(
            ["2011-03-07", "2011-06-07", "2011-09-05"],
            90,
            "2011-06-07: expected a Monday.* is 2011-06-06",
            id="no_monday",
        ),
        pytest.param(["2011-06-01", "2011-03-01", "2011-09-05"], 90, "later than the one before", id="out_of_order"),
        pytest.param(["2011-03-07", "2011-05-09", "2011-09-05"], 90, "at least 90 days between", id="too_close"),
        pytest.param(["2010-11-29", "2011-03-07", "2011-09-05"], 90, "a day after 2010-12-01", id="before_the_data"),
        pytest.param(
            ["2011-03-07", "2011-06-06", "2011-09-19"], 90, "expected a Monday up to 2011-09-11", id="labels_incomplete"
        ),
    ],
)
def test_cut_offs_that_do_not_fit_are_refused(given, horizon, said):
    with pytest.raises(PermanentError, match=said):
        features_data_sets.given_cut_offs(span("2010-12-01", "2011-12-10"), given, horizon)


def test_given_cut_offs_are_taken_as_they_are():
    given = ["2011-02-07", "2011-03-07", "2011-06-06", "2011-09-05"]
    chosen = features_data_sets.given_cut_offs(span("2010-12-01", "2011-12-10"), given, 90)
    assert [f"{day} {part}" for day, part in chosen.parts()] == [
        "2011-02-07 train",
        "2011-03-07 train",
        "2011-06-06 validation",
        "2011-09-05 test",
    ]
    assert chosen.as_text() == {"cut_offs": given, "horizon_days": 90}


@pytest.mark.parametrize("name", features_data_sets.DATA_SETS)
def test_every_column_is_described_and_no_name_is_one_of_a_person(name):
    columns = features_data_sets.columns(name, SQL)
    assert {column.role for column in columns} == {"key", "feature", "label"}
    assert all(column.name.startswith("label_") == (column.role == "label") for column in columns)
    assert not [column.name for column in columns if "customer_id" in column.name or "customer_key" in column.name]


# -- a small shop of 400 days ---------------------------------------------------------------------------------------------

CUT_OFFS = ["2011-04-11", "2011-05-09", "2011-06-13", "2011-07-18"]
CUSTOMERS = [f"9{n:05}" for n in range(60)]


def year(invoices=900, days_long=240, customers=CUSTOMERS, eagerness=None, every=1):
    """Invoices from January 2011 on, some of them cancelled.

    Args:
        eagerness: how often each customer buys, all alike by default.
        every: days from one with invoices to the next; each day is a file of the lake.
    """
    drawn, lines = random.Random(1), []
    for n in range(invoices):
        day = date(2011, 1, 3) + timedelta(days=drawn.randrange(0, days_long, every))
        [customer], invoice = drawn.choices(customers, eagerness), 600000 + n
        code, quantity, price = (
            f"{10000 + drawn.randrange(20)}",
            drawn.randrange(1, 30),
            f"{drawn.randrange(1, 900) / 100}",
        )
        country = "Iceland" if customer in customers[:5] else "France"
        lines.append(sale(str(invoice), code, quantity, price, day.isoformat(), customer, country))
        if drawn.random() < 0.1:
            back = (day + timedelta(days=3 * every)).isoformat()
            lines.append(sale(f"C{invoice}", code, -1, price, back, customer, country))
    return lines


class Learning(Shop):
    def __init__(self, observer, config, contracts):
        super().__init__(observer, config, contracts)
        self.s3 = observer.s3
        listing.delete(self.s3, self.config.bucket, self.stored())

    def export(self, cut_offs=CUT_OFFS, horizon=30):
        found = features_data_sets.read_span(self.target, SQL)
        chosen = (
            features_data_sets.given_cut_offs(found, cut_offs, horizon)
            if cut_offs
            else features_data_sets.choose_cut_offs(found)
        )
        return features_export.export(self.s3, self.target, chosen, found, self.config)

    def get(self, key):
        return self.s3.get_object(Bucket=self.config.bucket, Key=key)["Body"].read()

    def rows(self, version, name, part=None):
        """The rows of a data set as a reader has them, in the order of their values."""
        frames = [
            pq.read_table(io.BytesIO(self.get(file["key"]))).to_pandas().assign(part=file["part"])
            for file in version.files[name]
            if part in {None, file["part"]}
        ]
        frame = pd.concat(frames, ignore_index=True)
        return frame.sort_values([*frame.columns], ignore_index=True)

    def stored(self):
        return sorted(self.observer.keys(features_versions.FEATURES))


@pytest.fixture
def shop(observer, config, contracts):
    return Learning(observer, config, contracts)


@pytest.fixture(scope="module")
def kept_year(observer, contracts, tmp_path_factory):
    """A table that keeps the lines of a year as the load brought them to core, once for all tests."""
    config = settings().model_copy(update={"work_dir": tmp_path_factory.mktemp("work")})
    shop = Learning(observer, config, contracts)
    shop.load("online_retail", year())
    shop.target.run(
        [
            "CREATE TABLE public.kept_year (LIKE core.fact_invoice_line)",
            "INSERT INTO public.kept_year SELECT * FROM core.fact_invoice_line",
        ]
    )
    yield "public.kept_year"
    shop.target.run(["DROP TABLE public.kept_year"])


@pytest.fixture
def filled(kept_year, shop):
    shop.target.run([f"INSERT INTO core.fact_invoice_line SELECT * FROM {kept_year}"])
    return shop


def features_of(frame):
    return frame[[c for c in frame.columns if not c.startswith("label_")]]


def test_a_purchase_after_the_cut_off_changes_labels_and_no_feature(filled):
    before, _ = filled.export()
    was = filled.rows(before, "customer", "test")
    assert not was["label_bought_30_days"].all()
    # One purchase of every customer and product, on the test part's cut-off itself: the first moment that is no feature's.
    planted = [
        sale(f"70{n:04}", f"{10000 + n % 20}", 5000, "99.00", "2011-07-18", c, "Iceland")
        for n, c in enumerate(CUSTOMERS)
    ]
    filled.load("online_retail", planted)
    after, is_new = filled.export()
    now = filled.rows(after, "customer", "test")
    assert is_new
    pd.testing.assert_frame_equal(
        features_of(now).sort_values([*features_of(now).columns], ignore_index=True),
        features_of(was).sort_values([*features_of(was).columns], ignore_index=True),
    )
    assert now["label_bought_30_days"].all()
    for part in ("train", "validation"):
        pd.testing.assert_frame_equal(filled.rows(after, "customer", part), filled.rows(before, "customer", part))
        pd.testing.assert_frame_equal(
            filled.rows(after, "product_week", part), filled.rows(before, "product_week", part)
        )
    weeks, weeks_now = (
        filled.rows(v, "product_week", "test").set_index(["stock_code", "week_start"]) for v in (before, after)
    )
    first = weeks_now.index.get_level_values("week_start") == date(2011, 7, 18)
    pd.testing.assert_frame_equal(
        features_of(weeks_now[first]), features_of(weeks[weeks.index.get_level_values(1) == date(2011, 7, 18)])
    )
    assert (weeks_now[first]["label_units_1_week"] >= 3 * 5000).all()
    # The scalers are of train alone.
    assert json.loads(filled.get(after.scalers)) == json.loads(filled.get(before.scalers))


def test_a_purchase_before_the_cut_off_changes_features(filled):
    """Else the test above could not fail."""
    before, _ = filled.export()
    filled.load("online_retail", [sale("800000", "10001", 5000, "99.00", "2011-07-17", CUSTOMERS[7], "France")])
    after, _ = filled.export()
    was, now = (filled.rows(version, "customer", "test")["net_revenue"].sum() for version in (before, after))
    assert now - was == 5000 * 99


def test_the_same_rows_and_cut_offs_are_the_same_version_and_write_nothing(filled):
    made, is_new = filled.export()
    keys = filled.stored()
    assert is_new
    assert {key for key in keys if key.endswith(".json")} == {made.key, made.schema, made.scalers}
    again, is_new = filled.export()
    assert (again.version, is_new) == (made.version, False)
    assert filled.stored() == keys
    other, is_new = filled.export(CUT_OFFS[1:])
    assert is_new
    assert other.version != made.version
    # What is taken back again leads back to the first version.
    assert filled.export()[0].version == made.version


def test_the_order_of_arrival_does_not_matter(observer, config, contracts):
    names = []
    for turn in range(2):
        shop = Learning(observer, config, contracts)
        lines = year(450, every=6)
        random.Random(turn).shuffle(lines)
        for some in batched(lines, 250):
            shop.load("online_retail", some)
        names.append(shop.export()[0].version)
    assert names[0] == names[1]


def test_a_run_that_dies_before_its_manifest_leaves_no_version(filled, monkeypatch):
    class KilledError(Exception):
        pass

    def dies(*_args):
        raise KilledError

    monkeypatch.setattr(features_export, "publish", dies)
    with pytest.raises(KilledError):
        filled.export()
    assert list(features_versions.versions(filled.s3, filled.config.bucket)) == []
    left = filled.stored()
    assert left
    monkeypatch.undo()
    made, is_new = filled.export()
    assert is_new
    assert made.rows["customer"] == {p: len(filled.rows(made, "customer", p)) for p in features_data_sets.PARTS}
    now = datetime.now(UTC)

    def remove(now):
        return features_versions.remove_old(filled.s3, filled.config, now, made=made.version, only_this=False)

    assert remove(now) == {"versions": 0, "objects": 0}  # it may still be running
    assert remove(now + timedelta(hours=25)) == {"versions": 0, "objects": len(left)}
    assert not set(left) & set(filled.stored())
    assert features_versions.read_version(filled.s3, filled.config.bucket, made.version) == made


def test_old_versions_go_and_the_latest_stays(filled):
    old, _ = filled.export(CUT_OFFS[1:])
    latest, _ = filled.export()
    features_versions.point_to(filled.s3, filled.config.bucket, latest.version, latest.read_at)
    later = datetime.now(UTC) + timedelta(days=filled.config.features_retention_days, hours=1)
    done = features_versions.remove_old(filled.s3, filled.config, later, made=None, only_this=False)
    assert done["versions"] == 1
    assert [found.version for found in features_versions.versions(filled.s3, filled.config.bucket)] == [latest.version]
    assert not [key for key in filled.stored() if key.startswith(old.folder) or key == old.key]
    assert len(filled.rows(latest, "customer")) == sum(latest.rows["customer"].values())


def clock(target):
    """Returns what GETDATE() gives: whole seconds of UTC."""
    [(now,)] = target.query((SQL / "ops/erase/clock.sql").read_text())
    return datetime.fromisoformat(now).replace(tzinfo=UTC)


def wait_for_a_later_second(target, moment):
    while clock(target) <= moment:
        pass


def test_an_erasure_leaves_no_version_of_before(filled):
    """The rows name nobody, so nobody can tell which versions have the customer: no earlier one may stay."""
    filled.export(CUT_OFFS[1:])
    before, _ = filled.export()
    features_versions.point_to(filled.s3, filled.config.bucket, before.version, before.read_at)
    one = CUSTOMERS[3]
    filled.target.run(
        ["UPDATE core.fact_invoice_line SET customer_id = 'unknown' WHERE customer_id = :one"], {"one": one}
    )
    erased_at = clock(filled.target)
    assert len(features_versions.read_before(filled.s3, filled.config.bucket, erased_at)) == 2
    wait_for_a_later_second(filled.target, erased_at)
    after, is_new = filled.export()
    assert is_new
    features_versions.remove_old(filled.s3, filled.config, datetime.now(UTC), made=after.version, only_this=True)
    features_versions.point_to(filled.s3, filled.config.bucket, after.version, after.read_at)
    assert features_versions.read_before(filled.s3, filled.config.bucket, erased_at) == []
    assert [key for key in filled.stored() if not key.startswith(after.folder)] == [features_versions.LATEST, after.key]
    assert before.rows["customer"]["test"] - after.rows["customer"]["test"] == 1


def test_a_version_that_is_found_again_after_an_erasure_is_of_now(filled):
    made, _ = filled.export()
    moment = datetime.now(UTC)
    assert features_versions.read_before(filled.s3, filled.config.bucket, moment) == [made.version]
    wait_for_a_later_second(filled.target, moment)
    again, is_new = filled.export()
    assert not is_new
    features_versions.point_to(filled.s3, filled.config.bucket, again.version, again.read_at)
    assert features_versions.read_before(filled.s3, filled.config.bucket, moment) == []


def test_nobody_is_named_and_a_rare_country_is_none(filled):
    made, _ = filled.export()
    for key in filled.stored():
        body = filled.get(key)
        text = str(pq.read_table(io.BytesIO(body)).to_pydict()) if key.endswith(".parquet") else body.decode()
        assert [c for c in CUSTOMERS if c in text] == [], key
    assert set(filled.rows(made, "customer")["country"]) == {"France", "other"}  # of Iceland there are five


def test_scalers_are_those_of_the_training_rows(filled):
    made, _ = filled.export()
    scalers, schema = json.loads(filled.get(made.scalers)), json.loads(filled.get(made.schema))
    for name in features_data_sets.DATA_SETS:
        train = filled.rows(made, name, "train")
        assert scalers[name]["fitted_on"] == {"part": "train", "rows": len(train)}
        kinds = {c["name"] for c in schema[name] if c["role"] == "feature"}
        assert set(scalers[name]["numeric"]) | set(scalers[name]["categories"]) == kinds
        for column, fitted in scalers[name]["numeric"].items():
            values = train[column].astype(float)
            assert fitted["mean"] == pytest.approx(values.mean(), rel=1e-9)
            assert fitted["scale"] == pytest.approx(values.std(ddof=0) or 1.0, rel=1e-9)
        for column, values in scalers[name]["categories"].items():
            assert values == sorted(set(train[column]))


def test_a_part_without_rows_is_refused_by_its_name(shop):
    shop.load(
        "online_retail", [sale("1", "10001", 1, "1.00", "2011-01-03"), sale("2", "10001", 1, "1.00", "2011-12-30")]
    )
    with pytest.raises(PermanentError, match="product_week: the part validation has no rows"):
        shop.export(["2011-02-07", "2011-06-06", "2011-09-05"])
    assert list(features_versions.versions(shop.s3, shop.config.bucket)) == []


def test_labels_of_a_horizon_that_is_not_over_are_empty(filled):
    made, _ = filled.export()
    assert filled.rows(made, "customer")["label_bought_90_days"].isna().all()


def test_no_lines_at_all(shop):
    with pytest.raises(features_data_sets.TooShortError, match="has no lines"):
        features_data_sets.read_span(shop.target, SQL)


# -- the real file ------------------------------------------------------------------------------------------------------


def load_real(shop, path):
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        for n, some in enumerate(batched(csv.DictReader(file), 200_000)):
            at = [datetime.strptime(record["InvoiceDate"], "%m/%d/%Y %H:%M").replace(tzinfo=UTC) for record in some]
            shop.load("online_retail", [(f"real-{n}-{i}", at[i], record) for i, record in enumerate(some)])


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_real_file_comes_to_what_pandas_comes_to(shop, online_retail):
    load_real(shop, online_retail)
    made, _ = shop.export(cut_offs=None)
    assert made.cut_offs == ["2011-02-07", "2011-03-07", "2011-06-06", "2011-09-05"]
    answers = FeatureAnswers(online_retail)
    got = shop.rows(made, "customer")
    for cut_off in made.cut_offs:
        expected = answers.customers_of(cut_off)
        rows = got[got["cut_off"] == date.fromisoformat(cut_off)]
        assert len(rows) == len(expected), cut_off
        thousandths = {"net_revenue", "net_revenue_90_days", "average_basket"}
        for column in expected.columns:
            values = sorted(float(value) * (1000 if column in thousandths else 1) for value in rows[column])
            assert values == pytest.approx(sorted(expected[column].astype(float)), abs=1), (cut_off, column)
    sold, weeks = answers.product_weeks(), shop.rows(made, "product_week")
    for (part, week), of_week in weeks.groupby(["part", "week_start"]):
        monday = pd.Timestamp(week)
        past = sold.loc[:, (sold.columns < monday) & (sold.columns >= monday - pd.Timedelta(weeks=12))].sum(axis=1)
        expected = past[past > 0]
        rows = of_week.set_index("stock_code").loc[expected.index]
        assert len(of_week) == len(expected), (part, week)
        assert (rows["units_12_weeks"] == expected).all()
        month = (sold.columns >= monday) & (sold.columns < monday + pd.Timedelta(weeks=4))
        assert (rows["label_units_4_weeks"] == sold.loc[expected.index, month].sum(axis=1)).all()
        if monday in sold.columns:
            assert (rows["label_units_1_week"] == sold.loc[expected.index, monday]).all()
