"""The Python package of E-commerce ELT: settings, contracts, batches, cleaning and the warehouse load."""
