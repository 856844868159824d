"""Writes the contract of a new feed from a sample: `python -m ecommerce_elt.scaffold reviews sample.csv`."""
