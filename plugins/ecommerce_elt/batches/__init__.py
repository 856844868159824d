"""A batch: its manifest, its raw records and its clean files. Zipped whole for the job on Glue."""
