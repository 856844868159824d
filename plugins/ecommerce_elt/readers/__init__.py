"""Reads files of any format and dialect as the records of a feed, for landing and the producer alike."""
