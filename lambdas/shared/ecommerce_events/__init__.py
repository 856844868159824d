"""What all Lambdas share: the envelope, the contracts, retries. Packaged once, as a Lambda layer."""
