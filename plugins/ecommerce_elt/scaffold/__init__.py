"""Writes the contract of a new feed after a sample of its files: `python -m ecommerce_elt.scaffold reviews sample.csv`."""
