"""The export of features for machine learning."""
