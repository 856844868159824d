"""The comparison of all layers with each other."""
