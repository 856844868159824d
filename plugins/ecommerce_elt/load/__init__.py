"""The load of a batch: one transaction, and then the items of DynamoDB."""
