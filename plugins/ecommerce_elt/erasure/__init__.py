"""The erasure of a customer from every layer."""
