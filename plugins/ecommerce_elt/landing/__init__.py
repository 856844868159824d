"""Files of landing/: found, read in any spelling, and made to raw objects; what they replace in core."""
