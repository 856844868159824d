"""What the README says about speed and memory, measured: `make benchmark DATA=path/to/online_retail.csv.gz`."""
