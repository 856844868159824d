"""Lands a file of some bytes."""

import pytest
from ecommerce_elt.landing import conversion
from ecommerce_elt.readers.flags import Flags


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
