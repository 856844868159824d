"""The data sets for QuickSight and Looker Studio, and the extract for Tableau."""
