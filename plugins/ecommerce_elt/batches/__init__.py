"""A batch: its manifest, raw records and clean files. The whole package is zipped for the Glue job."""
