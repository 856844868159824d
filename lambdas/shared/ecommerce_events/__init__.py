"""Code that all Lambdas share: envelope, contracts, feed recognition and retries. Packaged as a Lambda layer."""
