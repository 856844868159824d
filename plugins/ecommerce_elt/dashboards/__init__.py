"""What the dashboards get: data sets for QuickSight and Looker Studio, the extract for Tableau."""
