"""A packed file is the file in it."""

import bz2
import gzip
import hashlib
import lzma

import pytest

from tests.support.online_retail import check, csv_text, read_file


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_a_packed_copy_is_the_same_data(tmp_path, contracts, suffix, pack):
    plain, packed = tmp_path / "shop.csv", tmp_path / f"shop.csv{suffix}"
    plain.write_text(csv_text())
    packed.write_bytes(pack(csv_text().encode()))
    survey, rows = read_file(packed, contracts)
    check(rows)
    assert survey.data_set == read_file(plain, contracts)[0].data_set == hashlib.sha256(csv_text().encode()).hexdigest()
