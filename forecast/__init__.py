"""Demand forecasts: a program of its own, in an environment of its own (requirements-forecast.txt).

It reads the demand of each product and day from Parquet, compares a TensorFlow model with baselines at past origins, and writes
quantiles of the next 28 days by whatever was best for each class of products. It knows neither Airflow nor the warehouse.
"""
