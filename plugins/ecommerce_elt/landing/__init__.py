"""Finds and reads files in landing/, converts them to raw objects, and finds the rows of core that they replace."""
