"""The importable part of E-commerce ELT: settings, contracts, batches, cleaning and the warehouse load."""
