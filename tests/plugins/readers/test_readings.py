"""Each file of a zip is a file of its own."""

import gzip

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import MembersError, read_files

from tests.support.file_formats import FORMATS
from tests.support.spreadsheets import as_zip


def test_each_file_of_a_zip_is_a_file_of_its_own(tmp_path, contracts, read):
    files = {
        "2026/a.csv": FORMATS["csv"],
        "b": FORMATS["xlsx"],
        "c.gz": gzip.compress(FORMATS["json_lines"]),
        "d.pq": FORMATS["parquet"],
    }
    hidden = {"__MACOSX/2026/._a.csv": b"x", "2026/.DS_Store": b"x"}
    path = tmp_path / "all.csv"
    path.write_bytes(as_zip({**files, **hidden}))
    readings, skipped, _ = read_files(path, contracts["product_events"], Flags(), tmp_path)
    assert [reading.name for reading in readings] == list(files)
    assert skipped == list(hidden)
    assert [len(list(reading.file.rows(reading.survey))) for reading in readings] == [2] * 4
    alone = [read(FORMATS[kind])[0].data_set for kind in ("csv", "xlsx", "json_lines", "parquet")]
    assert [reading.survey.data_set for reading in readings] == alone


def test_a_file_of_a_zip_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, contracts):
    bad = {"readme.txt": b"hello", "b.zip": as_zip({"c.csv": FORMATS["csv"]})}
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip({"a.csv": FORMATS["csv"], **bad}))
    readings, _, unread = read_files(path, contracts["product_events"], Flags(), tmp_path)
    assert [reading.name for reading in readings] == ["a.csv"]
    assert list(unread) == list(bad)
    with pytest.raises(MembersError, match="2 of 3 files of the zip cannot be read"):
        read_files(path, contracts["product_events"], Flags(), tmp_path).whole(path)
    assert f"{path}, readme.txt: line 1 has no column" in str(unread["readme.txt"])
    assert f"{path}, b.zip: is a zip within a zip" in str(unread["b.zip"])
    path.write_bytes(as_zip(bad))
    with pytest.raises(MembersError, match="2 of 2 files of the zip cannot be read: .*readme.txt: line 1"):
        read_files(path, contracts["product_events"], Flags(), tmp_path)


@pytest.mark.parametrize(
    ("files", "flags", "says"),
    [
        ({}, {}, "the zip has no file"),
        ({".hidden": b"x"}, {}, "the zip has no file"),
        (
            {"a.csv": FORMATS["csv"], "b.csv": FORMATS["csv"]},
            {"data_set": "d"},
            "names the data of one file, and the zip has 2",
        ),
    ],
)
def test_zips_that_are_refused(tmp_path, contracts, files, flags, says):
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip(files))
    with pytest.raises(PermanentError, match=says):
        read_files(path, contracts["product_events"], Flags(**flags), tmp_path)


def test_names_of_a_zip_of_people_are_not_shown(tmp_path, contracts):
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip({"Ada Lovelace.csv": b"hello", "__MACOSX/Ada": b"x"}))
    with pytest.raises(PermanentError, match="file 1: line 1 has no column") as raised:
        read_files(path, contracts["purchases"], Flags(), tmp_path)
    assert "Ada" not in str(raised.value)
