"""Demand forecasts: a separate program with its own environment (requirements-forecast.txt).

It reads the demand per product and day from Parquet and compares a TensorFlow model with baselines at past origins. For
each class of products, it writes quantiles of the next 28 days by the method that was best. It uses neither Airflow nor
the warehouse.
"""
