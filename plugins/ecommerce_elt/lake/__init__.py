"""The lake: the lists of clean files, compaction, catalog and retention."""
