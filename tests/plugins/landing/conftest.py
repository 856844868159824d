"""What reads a file of some bytes, and what lands one."""

import pytest
from ecommerce_elt.landing import conversion
from ecommerce_elt.landing.flags import Flags
from ecommerce_elt.landing.tabular import TabularFile


@pytest.fixture
def read(tmp_path, contracts):
    def read(body, name="file.dat", feed="product_events", **flags):
        path = tmp_path / name
        path.write_bytes(body)
        source = TabularFile(path, contracts[feed], Flags(**flags))
        survey = source.survey()
        return survey, list(source.rows(survey)), source

    return read


@pytest.fixture
def land(s3, bucket, config, contracts):
    own = config.model_copy(update={"bucket": bucket, "history_object_rows": 3, "history_batch_rows": 6})

    def land(body, key="landing/product_events/a file.csv", flags=None, **arguments):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return conversion.land_file(s3, key, contracts, flags or Flags(), own, **arguments)

    def land_all(bodies):
        for key, body in bodies.items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        return conversion.land_files(s3, [(key, None) for key in bodies], contracts, Flags(), own)

    land.s3, land.config, land.all = s3, own, land_all
    return land
