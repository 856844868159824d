"""The twelve files of a shop that nothing here knows: a contract from the first, and every row of all is in core once."""

import shutil
from decimal import Decimal

from ecommerce_elt.batches.manifests import read_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.feeds import sales
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.landing import conversion
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.scaffold.__main__ import app
from ecommerce_elt.warehouse import tables as warehouse_tables
from typer.testing import CliRunner

from tests.conftest import PROJECT
from tests.scaffold.shop import file_of, lines


def test_twelve_files_are_in_core_once_after_one_command(observer, bucket, config, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "include", project / "include")
    name, content = file_of(1)
    (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(app, ["kassen", str(tmp_path / name), "--project", str(project)])
    assert "60 of 60 rows are clean" in done.output
    contracts = load_contracts(project / "include/feeds")
    own, target, s3 = (
        config.model_copy(update={"include_dir": project / "include", "bucket": bucket}),
        observer.warehouse,
        observer.s3,
    )
    target.run(warehouse_tables.ddl(own.sql_dir, ["staging.kassen", "core.fact_kassen"]))

    def load(files):
        """Lands files together, and returns the sums of what the loads counted."""
        for key, body in files.items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        group = conversion.land_files(s3, [(key, None) for key in files], contracts, Flags(), own)
        assert group.failed == []
        counts = [
            load_transaction.load_batch(target, clean_batch(s3, read_manifest(s3, bucket, batch_id), own), own)
            for batch_id in group.batches
        ]
        return group, {
            name: sum(each[name] for each in counts) for name in ("accepted", "clean", "quarantined", "duplicates")
        }

    group, counts = load({f"landing/kassen/{name}": body for name, body in map(file_of, range(1, 13))})
    assert counts == {"accepted": 720, "clean": 720, "quarantined": 0, "duplicates": 0}
    left_out = {kind: of["rows"] for file in group.files for part in file.parts for kind, of in part.left_out.items()}
    assert left_out == {"title": 2, "blank": 4, "repeated_header": 2}
    sold = [line for month in range(1, 13) for line, _ in lines(month)]
    rows = target.query("SELECT bon_nr, event_time, art_nr, stueck, einzelpreis_eur FROM core.fact_kassen")
    assert sorted(rows) == sorted(
        (n.receipt, f"{n.at:%Y-%m-%d %H:%M:%S.0}", n.product, n.pieces, f"{n.price}") for n in sold
    )

    # The same rows again, in another file.
    name, content = file_of(2)
    assert load({f"landing/kassen/again-{name}": content})[1] == {
        "accepted": 60,
        "clean": 0,
        "quarantined": 0,
        "duplicates": 60,
    }
    # Nobody is passed on, and customers can be told apart.
    people = target.query("SELECT DISTINCT e_mail_adresse FROM core.fact_kassen WHERE e_mail_adresse IS NOT NULL")
    assert [len(key) for (key,) in people] == [64, 64, 64]
    # What the marts of sales get of it.
    [part] = sales._parts(own.sql_dir, contracts["kassen"])
    [found] = target.query(
        f"SELECT feed, currency, SUM(amount), COUNT(DISTINCT order_id), COUNT(DISTINCT customer_id) FROM ({part}) AS sale GROUP BY 1, 2"
    )
    total = sum((n.pieces * n.price for n in sold), Decimal(0))
    assert found == ("kassen", "EUR", f"{total:.3f}", 360, 4)
    target.run(["DROP TABLE core.fact_kassen", "DROP TABLE staging.kassen"])
