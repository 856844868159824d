"""The export of features for learning."""
