"""The load of a batch: one transaction, and the items of DynamoDB after it."""
