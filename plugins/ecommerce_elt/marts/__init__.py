"""The marts: which there are, and how one is built, checked and published."""
