"""What all Lambdas share: the envelope, the contracts, which record is of which feed, retries. Packaged as a Lambda layer."""
